"""Holds the monitoring to a real run: `make observability-test`."""
