#!/bin/sh
# Installs the locked packages of one role in /app/.venv, without unneeded files: install.sh [options of uv sync]
set -eu
uv sync --locked --no-default-groups --no-install-project "$@"
# Delete 180 MB that are never imported: tests, headers and sources of packages, Arrow's RPC, and the
# descriptions of 400 AWS services.
packages=$(echo /app/.venv/lib/python3.*/site-packages)
find "$packages" -depth -type d -name tests -exec rm -rf {} +
find "$packages" -name '*.pyx' -delete -o -name '*.pxd' -delete -o -name '*.pyi' -delete
# Delete 40 MB of debug symbols, but only in wheels whose libraries were not patched after linking, because
# strip breaks patched ones.
for name in aiohttp pyarrow uvloop yaml; do
    [ ! -d "$packages/$name" ] || find "$packages/$name" -name '*.so*' -exec strip --strip-unneeded {} +
done
rm -rf "$packages"/pyarrow/include "$packages"/pyarrow/*flight*
if [ -d "$packages/botocore/data" ]; then
    find "$packages/botocore/data" -mindepth 1 -maxdepth 1 -type d ! -name s3 ! -name sts ! -name 'sso*' -exec rm -rf {} +
fi
