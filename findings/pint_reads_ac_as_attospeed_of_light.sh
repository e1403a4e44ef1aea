#!/usr/bin/env bash
# The abbreviation of acres in listings, "ac", is a speed for Pint: 10 ** -18 times the speed of light.
#
# Version: pint 0.26.2, its default registry.
# Behaviour: Pint takes "a" for the prefix atto and "c" for the speed of light, so "0.08 ac" parses without an error or
# a warning and has the dimension length / time. It fails only when it is converted to an area; code that reads the
# number and the unit apart stores a wrong unit. "acres" is an area. "sqft" is no unit at all, though "sq ft" is one.
# Output seen:
#   0.08 ac -> attospeed_of_light [length] / [time]
#   0.08 acres -> acre [length] ** 2
#   1800 sq ft -> square_foot
#   1800 sqft -> UndefinedUnitError
# Source: Pint's default_en.txt defines the prefix atto- with the symbol a-, and speed_of_light with the symbol c.
# Exits with 1 when one of these is read in another way.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet "pint==0.26.2"
cat > "$folder/lots.py" <<'PY'
import sys

import pint

registry = pint.UnitRegistry()
lot, acres = registry("0.08 ac"), registry("0.08 acres")
print(f"0.08 ac -> {lot.units} {lot.dimensionality}")
print(f"0.08 acres -> {acres.units} {acres.dimensionality}")
size = registry("1800 sq ft").to("square_foot")
print(f"1800 sq ft -> {size.units}")
try:
    registry("1800 sqft")
except pint.UndefinedUnitError as error:
    undefined = type(error).__name__
else:
    undefined = "a unit"
print(f"1800 sqft -> {undefined}")
seen = (
    str(lot.units) == "attospeed_of_light"
    and acres.check("[area]")
    and size.magnitude == 1800
    and undefined == "UndefinedUnitError"
)
sys.exit(0 if seen else 1)
PY
"$folder/venv/bin/python" "$folder/lots.py"
