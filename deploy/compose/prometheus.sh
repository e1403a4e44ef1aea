#!/bin/sh
# Starts Prometheus. It reads its API key from a file that no other user can read.
set -eu
umask 077
printf %s "$PROMETHEUS_API_KEY" > /run/keys/service
unset PROMETHEUS_API_KEY
exec prometheus "$@"
