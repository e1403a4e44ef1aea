"""A Prometheus exporter for Dagster, batches and models: `python -m realtor_assets.exporter`.

It reads the two databases, Dagster's instance and the published history, and writes nothing. The
service exports its own metrics.
"""
