#!/bin/sh
# The locked packages of one role in /app/.venv, less what no role runs: install.sh [uv sync's options]
set -eu
without_group=$(printf '%s\n' "$*" | sed 's/--group cpu//')
# shellcheck disable=SC2086  # options, separated by spaces
uv sync --locked --no-default-groups --no-install-project $without_group
# The GPU build of XGBoost is what the lock gives everybody; its CPU build, of the same version, has
# the same files, and the last one written stays. The first one's metadata stays true.
case "$*" in *"--group cpu"*)
    uv sync --locked --no-default-groups --no-install-project --inexact "$@" ;;
esac
# Packages' own tests, headers and sources, Arrow's RPC, and the descriptions of 400 AWS services:
# 180 MB that are never imported.
packages=/app/.venv/lib/python3.11/site-packages
find "$packages" -depth -type d -name tests -exec rm -rf {} +
find "$packages" -name '*.pyx' -delete -o -name '*.pxd' -delete -o -name '*.pyi' -delete
# Symbols for debuggers, 40 MB. Only in wheels whose libraries nobody has patched after linking: strip
# breaks those.
for name in aiohttp pyarrow uvloop xgboost yaml; do
    [ ! -d "$packages/$name" ] || find "$packages/$name" -name '*.so*' -exec strip --strip-unneeded {} +
done
rm -rf "$packages"/pyarrow/include "$packages"/pyarrow/*flight*
if [ -d "$packages/botocore/data" ]; then
    find "$packages/botocore/data" -mindepth 1 -maxdepth 1 -type d ! -name s3 ! -name sts ! -name 'sso*' -exec rm -rf {} +
fi
