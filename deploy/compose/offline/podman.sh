#!/usr/bin/env bash
# Runs a command with podman's socket as DOCKER_HOST, on a machine without a Docker daemon and systemd:
#   podman.sh COMMAND…
# It uses its own mount and cgroup namespaces. Podman relies on systemd's timers for health checks; here a
# loop runs them.
set -euo pipefail
if [ "${1:-}" != --inside ]; then
    exec unshare --mount "$0" --inside "$@"
fi
shift
umount -R /sys/fs/cgroup 2> /dev/null || true
mount -t cgroup2 none /sys/fs/cgroup 2> /dev/null || true
# Start as after a boot, without the names and addresses that a killed run left behind.
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
