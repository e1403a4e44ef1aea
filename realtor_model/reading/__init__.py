"""Files of homes as people have them, opened as tables.

A file's content decides what it is; its name is only shown. Text files may have any common
encoding, delimiter and title lines. No row is ever shifted: a row that does not fit the header
stays in its place and is marked in the column `ROW_CELLS`.
"""

from realtor_model.reading.arrow_types import decoded
from realtor_model.reading.files import open_file
from realtor_model.reading.table_file import ROW_CELLS, TableFile, UnreadableFile
from realtor_model.reading.writing import FileKind, table_writer, write_table

__all__ = [
    "ROW_CELLS",
    "FileKind",
    "TableFile",
    "UnreadableFile",
    "decoded",
    "open_file",
    "table_writer",
    "write_table",
]
