#!/bin/sh
# Prometheus, which reads its key of the service from a file: one that nobody else can read.
set -eu
umask 077
printf %s "$PROMETHEUS_API_KEY" > /run/keys/service
unset PROMETHEUS_API_KEY
exec prometheus "$@"
