#!/usr/bin/env bash
# changed-images.sh BEFORE AFTER: `images=[…]`, those whose files differ between two commits; all of
# them where BEFORE is unknown (the first push, a forced one, by hand).
set -euo pipefail
before=$1 after=$2
declare -A files=(
    [dagster]="realtor_model realtor_assets realtor_serving realtor_local dagster.yaml"
    [serving]="realtor_model realtor_serving"
    [ui]="realtor_ui"
    [mlflow]=""
    [load]="realtor_serving/load_test/locustfile.py"
)
changed=()
for image in dagster serving ui mlflow load; do
    read -ra own <<< "${files[$image]}"
    if ! git cat-file -e "$before^{commit}" 2> /dev/null ||
        ! git diff --quiet "$before" "$after" -- deploy/images pyproject.toml uv.lock "${own[@]}"; then
        changed+=("\"$image\"")
    fi
done
(IFS=,; echo "images=[${changed[*]-}]")
