"""What Prometheus sees of Dagster, the batches and the models: `python -m realtor_assets.exporter`.

It asks the two databases, Dagster's instance and the published history, and writes nothing. The
service has metrics of its own.
"""
