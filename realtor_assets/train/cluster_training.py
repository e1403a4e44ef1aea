"""A candidate trained on a cluster, and scored as every candidate is.

Encoder, ranges, profile, comparables and figures come from a bounded sample in this process, the
estimator from all rows on the workers. Up to `SAMPLE_ROWS` train rows the sample is all of them,
and the encoder bit-equal to the one of the clean build.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet
from distributed import Client

from realtor_assets.clean.clean_build import CleanBuild, fit_encoder
from realtor_assets.distributed.cluster_trainer import ClusterRows, Source, cluster_trainer
from realtor_assets.distributed.exchange import exchange, put_encoder
from realtor_assets.distributed.partitions import PARTITION_ROWS, Partition
from realtor_assets.distributed.sample import SAMPLE_ROWS, sampled, share_of
from realtor_assets.raw.raw_listings import Listings
from realtor_assets.raw.row_identity import SPLITS
from realtor_assets.resources import ObjectStore
from realtor_model.candidates import candidate_named
from realtor_model.features import FeatureEncoder
from realtor_model.retraining import drift
from realtor_model.training import (
    MAX_SCORED_ROWS,
    Rows,
    TrainedCandidate,
    TrainingSettings,
    attach_reference_data,
    calibrate_and_package,
    model_metadata,
    replace_estimator,
    score_candidate,
)
from realtor_model.valuation.valuation_model import ValuationModel


def train_on_cluster(
    client: Client,
    settings: TrainingSettings,
    build: CleanBuild,
    store: ObjectStore,
    partitions: Sequence[Partition],
    most: int = SAMPLE_ROWS,
) -> TrainedCandidate:
    """Train a candidate on the train partitions; boosting stops early by the validation ones.

    It is scored on a sample of the validation and test partitions, as many rows as on one machine.

    Args:
        client: of the cluster.
        settings: of the training; its candidate has a trainer for clusters.
        build: of the clean tables that the partitions belong to.
        store: holds the partitions.
        partitions: of all three splits.
        most: train rows of the sample, about.
    """
    candidate = settings.declaration
    train, validation, test = (
        [partition for partition in partitions if partition.split == split] for split in SPLITS
    )
    with _cluster_rows(client, store, train, build, most) as (rows, sample):
        hyperparameters = candidate.resolve_hyperparameters(
            sum(partition.rows for partition in train), settings.hyperparameters
        )
        estimator = cluster_trainer(candidate)(
            client,
            replace(rows, validation=list(map(Source, validation))),
            candidate=candidate.name,
            hyperparameters=hyperparameters,
            seed=settings.seed,
        )
    validation_listings, test_listings = (
        sampled(client, store, split, share_of(split, MAX_SCORED_ROWS))
        for split in (validation, test)
    )
    held_out = Rows(rows.encoder.transform(validation_listings.columns), validation_listings.price)
    model = calibrate_and_package(
        estimator,
        rows.encoder,
        rows.sample,
        held_out,
        seed=settings.seed,
        profile=drift.profile(sample.columns, sample.price, contract=rows.encoder.contract),
        metadata=model_metadata(build),
    )
    trained = score_candidate(model, rows.sample, held_out, validation_listings, test_listings)
    return replace(trained, model=attach_reference_data(trained.model, sample))


def refit_on_cluster(
    client: Client,
    model: ValuationModel,
    build: CleanBuild,
    store: ObjectStore,
    partitions: Sequence[Partition],
    most: int = SAMPLE_ROWS,
) -> ValuationModel:
    """`realtor_model.training.refit` on the train and validation partitions."""
    candidate = candidate_named(model.candidate)
    train, validation, _ = (
        [partition for partition in partitions if partition.split == split] for split in SPLITS
    )
    with _cluster_rows(client, store, train, build, most) as (rows, _):
        estimator = cluster_trainer(candidate)(
            client,
            replace(rows, train=[*rows.train, *map(Source, validation)]),
            candidate=candidate.name,
            hyperparameters=model.estimator.refit_hyperparameters,
            seed=int(model.metadata["seed"]),
        )
    return replace_estimator(model, estimator)


@contextmanager
def _cluster_rows(
    client: Client, store: ObjectStore, train: Sequence[Partition], build: CleanBuild, most: int
) -> Iterator[tuple[ClusterRows, Listings]]:
    """The train rows for the workers, and the listings of the sample that the encoder is fitted on.

    Until the block ends the workers find encoder and features of the sample in the object store.
    The features of the sample's rows are out-of-fold. The other train rows are transformed like any
    row: the encoder has not seen their prices, nor those of their properties' other listings.
    """
    share = share_of(train, most)
    sample = sampled(client, store, train, share)
    encoder, x = fit_encoder(sample.columns, sample.price, build)
    sample_rows = Rows(x, sample.price)
    with exchange(store) as folder:
        put_encoder(store, f"{folder}/encoder", encoder)
        sources = _featured(store, folder, sample_rows, encoder)
        if share < 1.0:
            sources += [Source(partition, left_out=share) for partition in train]
        rows = ClusterRows(store.url, f"{folder}/encoder", encoder, sample_rows, sources)
        yield rows, sample


def _featured(store: ObjectStore, folder: str, rows: Rows, encoder: FeatureEncoder) -> list[Source]:
    """The matrix of the sample as partitions that workers read."""
    sources = []
    for start in range(0, len(rows.price), PARTITION_ROWS):
        part = slice(start, start + PARTITION_ROWS)
        features = dict(zip(encoder.feature_names, rows.x[part].T, strict=True))
        table = pa.table({"price": rows.price[part], **features})
        key = f"{folder}/sample-{start:09d}.parquet"
        with store.create(key) as file:
            pa.parquet.write_table(table, file, compression="zstd")
        sources.append(Source(Partition(key, "train", 0, table.num_rows), featured=True))
    return sources
