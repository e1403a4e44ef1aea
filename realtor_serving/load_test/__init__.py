"""Load test of the service (Locust). Serving images and bentos do not contain this folder."""
