"""Stage 1: the upstream API and CSV files. Every batch is landed verbatim in the object store."""
