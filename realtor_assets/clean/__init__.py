"""CLEAN: each batch is measured for drift and decided on; then features are built from RAW."""
