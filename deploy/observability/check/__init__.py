"""Tests the monitoring against a running platform: `make observability-test`."""
