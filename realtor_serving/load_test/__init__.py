"""The load test of the service (Locust); serving images and bentos leave this folder out."""
