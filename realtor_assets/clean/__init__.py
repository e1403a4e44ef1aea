"""Stage 3: retrain decisions about loads, and the clean tables: encoder and feature matrices."""
