"""Files of homes as people have them, opened as tables.

A file's content decides what it is; its name is only shown. Text files may have any common
encoding, delimiter and title lines. No row is ever shifted: a row that does not fit the header
stays in its place and is marked in the column `ROW_CELLS`.
"""
