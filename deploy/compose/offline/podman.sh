#!/usr/bin/env bash
# Runs a command with podman's socket as DOCKER_HOST, where there is neither a Docker daemon nor systemd:
#   podman.sh COMMAND…
# In mount and cgroup namespaces of its own. Podman leaves health checks to systemd's timers; here a loop
# runs them.
set -euo pipefail
if [ "${1:-}" != --inside ]; then
    exec unshare --mount "$0" --inside "$@"
fi
shift
umount -R /sys/fs/cgroup 2> /dev/null || true
mount -t cgroup2 none /sys/fs/cgroup 2> /dev/null || true
# As after a boot: names and addresses that a killed run left behind would be found among this one's.
for each in /run/libpod /run/netns /run/containers /dev/shm; do
    mkdir -p "$each"
    mount -t tmpfs none "$each"
done
folder=$(mktemp -d)
export DOCKER_HOST=unix://$folder/podman.sock
podman system service --time 0 "$DOCKER_HOST" 2> "$folder/service.log" &
service=$!
(
    while sleep 5; do
        for each in $(podman ps --quiet --filter status=running); do
            timeout 30 podman healthcheck run "$each" > /dev/null 2>&1 || true
        done
    done
) &
health=$!
trap 'kill $health $service; rm -rf "$folder"' EXIT
until [ -S "$folder/podman.sock" ]; do sleep 0.2; done
"$@"
