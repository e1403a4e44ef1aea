"""Stage 2: landed payloads become typed listings, split by property, or quarantined rows."""
