"""The load test of the service (Locust)."""
