"""RAW: landed payloads loaded into typed tables; broken rows go to the quarantine."""
