"""Training and batch valuation on the workers of a Dask cluster (docs/SCALING.md).

Nothing here is imported unless `REALTOR_DASK_SCHEDULER` is set. It needs the extra `scale`. Workers
read listings as Parquet partitions from the object store and turn them into features with the same
`FeatureEncoder` as everything else.
"""
