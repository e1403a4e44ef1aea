#!/usr/bin/env bash
# `pip install 'grafana-foundation-sdk>=11.6'` installs the builders of Grafana 10.1.
#
# Behaviour: each release line is published as EPOCH!GRAFANA, where the epoch is the second of its build, and 10.1
# is built last. An epoch outranks what follows it, so any lower bound, even >=12, takes 10.1. Panels then lack
# options of the Grafana that was asked for, and the dashboards have schema 36 in place of 41; nothing warns.
# Output seen:
#   >=10.1   1769699998!10.1.0   schemaVersion 36
#   >=11.6   1769699998!10.1.0   schemaVersion 36
#   >=12     1769699998!10.1.0   schemaVersion 36
# Source: PEP 440 orders versions by epoch first. The package's page says to install one exact version, and not
# that a lower bound takes the oldest.
# Exits with 1 when a version has no epoch, or a bound takes a Grafana that it asks for.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
for bound in 10.1 11.6 12; do
    "$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check "grafana-foundation-sdk>=$bound"
    "$folder/venv/bin/python" - "$bound" <<'PY'
import sys
from importlib.metadata import version
from grafana_foundation_sdk.builders.dashboard import Dashboard

epoch, _, grafana = version("grafana-foundation-sdk").rpartition("!")
schema = Dashboard("x").build().schema_version
print(f">={sys.argv[1]:6} {epoch}!{grafana}   schemaVersion {schema}")
asked = tuple(map(int, sys.argv[1].split(".")))
surprising = epoch and (asked == (10, 1) or tuple(map(int, grafana.split("."))) < asked)
sys.exit(0 if surprising else 1)
PY
done
