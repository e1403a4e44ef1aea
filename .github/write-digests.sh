#!/usr/bin/env bash
# write-digests.sh FOLDER FILE: puts FOLDER's digests, a file for each image, into FILE's `digests`.
set -euo pipefail
folder=$1 file=$2
for digest in "$folder"/*; do
    name=${digest##*/} value=$(< "$digest")
    [[ $value =~ ^sha256:[0-9a-f]{64}$ ]] || { echo "$digest holds no digest" >&2; exit 1; }
    grep -qE "^    $name: " "$file" || { echo "$file names no image $name" >&2; exit 1; }
    sed -i -E "s|^(    $name: ).*|\1$value|" "$file"
done
