#!/usr/bin/env bash
# xgboost-cpu 3.0.5 reads a UBJSON model of 3.2.0 without an error or a warning, and predicts wrong values.
#
# Behaviour: XGBoost 3.2 writes base_score as a vector ("[1.15E1]"), and the leaves of multi-output trees in
# an array of their own. XGBoost 3.0.5 reads neither: it adds the default 0.5 to the leaves of a regressor in
# place of base_score, and a multi-output quantile model predicts values unrelated to the writer's.
# Output seen (three rows of a target near 12, base_score 11.5):
#   writer 3.2.0   single 12.19 11.46 11.29   multi 12.07 11.34 11.25
#   reader 3.0.5   single 1.19 0.46 0.29      multi 0.87 0.92 0.93
# Source: xgboost.readthedocs.io, "Introduction to Model IO" promises that later versions read models of earlier
# ones; it promises nothing for the other direction, and nothing checks the version that the file names.
# Exits with 1 when the older reader refuses the file, or predicts the writer's values.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
for version in 3.2.0 3.0.5; do
    python3 -m venv "$folder/$version"
    "$folder/$version/bin/python" -m pip install --quiet "xgboost-cpu==$version" "numpy==2.2.6"
done
cat > "$folder/common.py" <<'PY'
import sys
import numpy as np
import xgboost

rng = np.random.default_rng(0)
x = rng.normal(size=(400, 4)).astype("float32")
y = 12.0 + x[:, 0]


def show(kind):
    booster = xgboost.Booster()
    booster.load_model(f"{sys.argv[1]}/{kind}.ubj")
    values = np.asarray(booster.inplace_predict(x[:3])).reshape(3, -1)[:, 0]
    print(kind, *(f"{value:.2f}" for value in values))
PY
cat > "$folder/write.py" <<'PY'
from common import *

data = xgboost.DMatrix(x, y)
single = {"objective": "reg:pseudohubererror", "max_depth": 3, "base_score": 11.5}
multi = {
    "objective": "reg:quantileerror", "quantile_alpha": np.array([0.1, 0.5, 0.9]),
    "multi_strategy": "multi_output_tree", "tree_method": "hist", "max_depth": 3,
}
for kind, parameters in (("single", single), ("multi", multi)):
    xgboost.train(parameters, data, 20).save_model(f"{sys.argv[1]}/{kind}.ubj")
    show(kind)
PY
printf 'from common import *\n\nshow("single")\nshow("multi")\n' > "$folder/read.py"
written="$("$folder/3.2.0/bin/python" "$folder/write.py" "$folder")"
read_back="$("$folder/3.0.5/bin/python" "$folder/read.py" "$folder")" || { echo "changed: 3.0.5 refuses the file"; exit 1; }
printf 'writer 3.2.0\n%s\nreader 3.0.5\n%s\n' "$written" "$read_back"
for kind in single multi; do
    if [ "$(grep "^$kind" <<< "$written")" = "$(grep "^$kind" <<< "$read_back")" ]; then
        echo "changed: 3.0.5 predicts what 3.2.0 wrote ($kind)"
        exit 1
    fi
done
