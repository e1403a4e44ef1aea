#!/usr/bin/env bash
# Builds the platform's images with docker or buildah, whichever is installed, and prints their sizes.
#   build.sh [TARGET…]    Reads IMAGE_PREFIX, IMAGE_TAG, and IMAGE_BUILD_ARGS, options for the build command.
set -euo pipefail
cd "$(dirname "$0")/../.."
prefix=${IMAGE_PREFIX:-ghcr.io/owner/realtor}
tag=${IMAGE_TAG:-$(git rev-parse --short HEAD 2> /dev/null || echo dev)}
commit=$(git rev-parse HEAD 2> /dev/null || true)
if docker info > /dev/null 2>&1; then
    build=(docker build)
    list=(docker images)
elif command -v buildah > /dev/null; then
    # The docker format, because the OCI format has no HEALTHCHECK.
    build=(buildah bud --format docker --layers)
    list=(buildah images)
else
    echo "This needs a running Docker daemon, or buildah." >&2
    exit 2
fi
for target in "${@:-dagster serving ui mlflow load}"; do
    for each in $target; do
        # shellcheck disable=SC2086  # options, separated by spaces
        "${build[@]}" ${IMAGE_BUILD_ARGS:-} --build-arg "REALTOR_COMMIT=$commit" \
            --file deploy/images/Dockerfile --target "$each" --tag "$prefix-$each:$tag" .
    done
done
"${list[@]}" --format '{{.Name}}:{{.Tag}}  {{.Size}}' 2> /dev/null | grep -F "$prefix-" ||
    "${list[@]}" --format '{{.Repository}}:{{.Tag}}  {{.Size}}' | grep -F "$prefix-"
