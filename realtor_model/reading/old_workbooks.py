"""Workbooks other than .xlsx (.xls, .xlsb, .ods), read by a process of its own.

The library reserves memory for all cells up to the last used one, and where it gets none it ends
its process. In .xlsx the last cell is read before; here the process that ends is another one.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from realtor_model.reading.encodings import opened
from realtor_model.reading.table_file import UnreadableFile

MAX_SECONDS = 120
MAX_MEMORY = 4 * 1024**3

# Without our packages, so that it starts at once. Dates are told from texts by their type here.
_READER = """
import io, json, resource, sys
try:
    resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]),) * 2)
except (ValueError, OSError):
    pass
import python_calamine as calamine

def shown(cell):
    return cell if isinstance(cell, (str, bool, float, int)) else (
        cell.isoformat() if hasattr(cell, "isoformat") else str(cell))

try:
    workbook = calamine.CalamineWorkbook.from_filelike(io.BytesIO(sys.stdin.buffer.read()))
    sheets = [
        [each.name, each.visible == calamine.SheetVisibleEnum.Visible,
         [[shown(cell) for cell in row] for row in workbook.get_sheet_by_name(each.name).iter_rows()]]
        for each in workbook.sheets_metadata if each.typ == calamine.SheetTypeEnum.WorkSheet
    ]
except calamine.PasswordError:
    sys.exit(3)
except Exception as problem:
    print(problem, file=sys.stderr)
    sys.exit(1)
json.dump(sheets, sys.stdout)
"""  # noqa: E501


class ReadSheet(NamedTuple):
    """A sheet whose cells have been read; dates are ISO 8601."""

    name: str
    visible: bool
    rows: list[list[str | float | bool]]


def read_sheets(source: Path | bytes) -> list[ReadSheet]:
    """The sheets of a workbook.

    Raises:
        UnreadableFile: the workbook is damaged, protected, or needs too much memory or time.
    """
    with opened(source) as file:
        content = file.read()
    command = [sys.executable, "-c", _READER, str(MAX_MEMORY)]
    try:
        reader = subprocess.run(command, input=content, capture_output=True, timeout=MAX_SECONDS)  # noqa: S603
    except subprocess.TimeoutExpired:
        raise UnreadableFile("damaged_file", format="Excel", problem="it takes too long") from None
    if reader.returncode == 3:
        raise UnreadableFile("protected_workbook")
    if reader.returncode:
        # Of a process that was ended, only the library's own words would be left.
        said = reader.stderr.decode(errors="replace").strip() if reader.returncode == 1 else ""
        problem = said.rpartition("\n")[2] or "its cells do not fit into memory"
        raise UnreadableFile("damaged_file", format="Excel", problem=problem)
    return [ReadSheet(*sheet) for sheet in json.loads(reader.stdout)]
