"""The xgboost candidate trained on a cluster, judged as every candidate is.

Encoder, ranges, profile, comparables and figures come from a bounded sample in this process, the
booster from all rows on the workers. Up to `SAMPLE_ROWS` train rows the sample is all of them, and
the encoder bit for bit the one of the clean build.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from distributed import Client

from realtor_assets.clean.clean_build import CleanBuild, fit_encoder
from realtor_assets.distributed.boosting import Boosted, Boosting, Source, boost
from realtor_assets.distributed.exchange import exchange, put_encoder
from realtor_assets.distributed.partitions import PARTITION_ROWS, Partition
from realtor_assets.distributed.sample import SAMPLE_ROWS, sampled, share_of
from realtor_assets.raw.raw_listings import Listings
from realtor_assets.resources import ObjectStore
from realtor_assets.train.training_run import (
    JUDGED_ROWS,
    Settings,
    Trained,
    described,
    judge,
    papers,
)
from realtor_model import estimators
from realtor_model.estimators import Estimator
from realtor_model.features import FeatureEncoder
from realtor_model.retraining import drift
from realtor_model.training import Rows, complete
from realtor_model.valuation.valuation_model import ValuationModel


@dataclass(frozen=True)
class _Prepared:
    """A sample of the train rows, the encoder fitted on it, and where the workers find all rows."""

    sample: Listings
    encoder: FeatureEncoder
    fitted: Rows
    folder: str
    sources: list[Source]


def train_on_cluster(
    client: Client,
    settings: Settings,
    build: CleanBuild,
    store: ObjectStore,
    partitions: Sequence[Partition],
    most: int = SAMPLE_ROWS,
) -> Trained:
    """Train the xgboost candidate on the train partitions, stop early by the validation ones.

    It is judged on a sample of the validation and test partitions, as many rows as on one machine.
    """
    train, validation, test = (
        [each for each in partitions if each.split == split]
        for split in ("train", "validation", "test")
    )
    with _prepared(client, store, train, build, most) as prepared:
        encoder = prepared.encoder
        hyperparameters = estimators.hyperparameters_of(
            settings.candidate, sum(each.rows for each in train), settings.hyperparameters
        )
        boosted = boost(
            client,
            _boosting(
                prepared, store, hyperparameters, settings.seed, list(map(Source, validation))
            ),
        )
    estimator = _estimator(boosted, prepared, hyperparameters, settings.seed)
    judged_on, tested_on = (
        sampled(client, store, each, share_of(each, JUDGED_ROWS)) for each in (validation, test)
    )
    sample = prepared.sample
    held_out = Rows(encoder.transform(judged_on.columns), judged_on.price)
    model = complete(
        estimator,
        encoder,
        prepared.fitted,
        held_out,
        seed=settings.seed,
        profile=drift.profile(sample.columns, sample.price),
        metadata=papers(build),
    )
    trained = judge(model, prepared.fitted, held_out, judged_on, tested_on)
    return replace(trained, model=described(trained.model, sample))


def refit_on_cluster(
    client: Client,
    model: ValuationModel,
    build: CleanBuild,
    store: ObjectStore,
    partitions: Sequence[Partition],
    most: int = SAMPLE_ROWS,
) -> ValuationModel:
    """`realtor_model.training.refit` on the train and validation partitions."""
    train = [each for each in partitions if each.split == "train"]
    validation = [each for each in partitions if each.split == "validation"]
    seed = int(model.metadata["seed"])
    hyperparameters = model.estimator.chosen
    with _prepared(client, store, train, build, most) as prepared:
        prepared.sources.extend(map(Source, validation))
        boosted = boost(client, _boosting(prepared, store, hyperparameters, seed))
    estimator = _estimator(boosted, prepared, hyperparameters, seed)
    return replace(
        model,
        estimator=estimator,
        metadata=model.metadata | {"train_rows": estimator.n_train_rows},
    )


@contextmanager
def _prepared(
    client: Client, store: ObjectStore, train: Sequence[Partition], build: CleanBuild, most: int
) -> Iterator[_Prepared]:
    """Fit the encoder; until the block ends the workers find it and the sample's features.

    The features of the sample's rows are out-of-fold. The other train rows are transformed like
    any row: the encoder has seen neither their prices nor those of their properties.
    """
    share = share_of(train, most)
    sample = sampled(client, store, train, share)
    encoder, x = fit_encoder(sample.columns, sample.price, build)
    fitted = Rows(x, sample.price)
    with exchange(store) as folder:
        put_encoder(store, f"{folder}/encoder", encoder)
        sources = _featured(store, folder, fitted, encoder)
        if share < 1.0:
            sources += [Source(each, left_out=share) for each in train]
        yield _Prepared(sample, encoder, fitted, f"{folder}/encoder", sources)


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


def _boosting(
    prepared: _Prepared,
    store: ObjectStore,
    hyperparameters: dict[str, Any],
    seed: int,
    validation: Sequence[Source] = (),
) -> Boosting:
    base_score = float(np.median(np.log(prepared.fitted.price)))
    return Boosting(
        parameters=estimators.boosting_parameters(
            hyperparameters, prepared.encoder.feature_names, base_score, seed
        ),
        rounds=hyperparameters["n_estimators"],
        patience=hyperparameters["early_stopping_rounds"],
        store_url=store.url,
        encoder=prepared.folder,
        train=prepared.sources,
        validation=validation,
    )


def _estimator(
    boosted: Boosted, prepared: _Prepared, hyperparameters: dict[str, Any], seed: int
) -> Estimator:
    return estimators.of_booster(
        boosted.booster,
        hyperparameters=hyperparameters | {"best_iteration": boosted.best_iteration},
        n_train_rows=boosted.rows,
        log_range=boosted.log_range,
        feature_names=prepared.encoder.feature_names,
        x=prepared.fitted.x,
        seed=seed,
    )
