#!/usr/bin/env bash
# xgboost-cpu 3.4.1 refuses quantile models of 3.2.0 whose quantiles do not ascend.
#
# Behaviour: up to 3.3, reg:quantileerror takes its quantiles in any order, and a model predicts them in that
# order. 3.4 demands ascending ones, of training and of models that older versions wrote: `load_model` raises
# "quantile alpha must be sorted in ascending order". Nothing in the file is damaged; the same model loads
# once the numbers in its text are put in order, but its outputs stay where they were.
# Output seen:
#   writer 3.2.0   outputs of the median, 10 % and 90 %: 11.89 10.87 13.15
#   reader 3.4.1   XGBoostError: quantile alpha must be sorted in ascending order
# Source: xgboost.readthedocs.io, "Introduction to Model IO" promises that later versions read models of earlier
# ones; the release notes of 3.4.0 name the new leaf values of quantile regression, and not this.
# Needs Python 3.12 or newer. Exits with 1 when the newer version reads the file, or fails in another way.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python="$(command -v python3.13 || command -v python3.12 || command -v python3)"
for version in 3.2.0 3.4.1; do
    "$python" -m venv "$folder/$version"
    "$folder/$version/bin/python" -m pip install --quiet "xgboost-cpu==$version" "numpy==2.2.6"
done
cat > "$folder/write.py" <<'PY'
import sys
import numpy as np
import xgboost

rng = np.random.default_rng(0)
x = rng.normal(size=(400, 4)).astype("float32")
y = 12.0 + x[:, 0] + rng.normal(size=400)
parameters = {
    "objective": "reg:quantileerror", "quantile_alpha": np.array([0.5, 0.1, 0.9]), "max_depth": 3,
}
booster = xgboost.train(parameters, xgboost.DMatrix(x, y), 20)
booster.save_model(f"{sys.argv[1]}/model.ubj")
values = " ".join(f"{value:.2f}" for value in booster.inplace_predict(x[:1])[0])
print("writer 3.2.0   outputs of the median, 10 % and 90 %:", values)
PY
cat > "$folder/read.py" <<'PY'
import sys
import xgboost

try:
    xgboost.Booster(model_file=f"{sys.argv[1]}/model.ubj")
except xgboost.core.XGBoostError as problem:
    if "quantile alpha must be sorted in ascending order" not in str(problem):
        raise
    print("reader 3.4.1   XGBoostError: quantile alpha must be sorted in ascending order")
else:
    sys.exit("changed: 3.4.1 reads the file")
PY
"$folder/3.2.0/bin/python" "$folder/write.py" "$folder"
"$folder/3.4.1/bin/python" "$folder/read.py" "$folder"
