"""Reads files and tables of homes, and batches of listings, as people and programs write them."""
