"""The trainer of a candidate on a cluster: what it receives, and where it is declared.

A trainer fits the estimator alone. Encoder, ranges, figures and comparables are those of every
candidate; see `realtor_assets.train.cluster_training`.
"""

import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from distributed import Client

from realtor_assets.distributed.partitions import Partition
from realtor_model.candidates import Candidate
from realtor_model.estimators import Estimator
from realtor_model.features import FeatureEncoder
from realtor_model.training import Rows


@dataclass(frozen=True)
class Source:
    """Rows to learn from: a partition of listings, or of features if `featured`.

    left_out: the share of the listings that is in the sample (`is_sampled`), and is skipped here.
    """

    partition: Partition
    featured: bool = False
    left_out: float = 0.0

    def cut(self, pieces: int) -> "list[Source]":
        """The same rows in at most `pieces` sources."""
        cut = self.partition.cut(pieces)
        return [Source(piece, self.featured, self.left_out) for piece in cut]


@dataclass(frozen=True)
class ClusterRows:
    """The rows that a candidate learns from on a cluster, as its workers find them.

    store_url: of the object store. encoder_key: the encoder there (`exchange.encoder_at`), the same
    as `encoder`. sample: some of the train rows, or all of them where they are few. validation:
    rows to stop boosting early by; there are none when a model is fitted once more.
    """

    store_url: str
    encoder_key: str
    encoder: FeatureEncoder
    sample: Rows
    train: Sequence[Source]
    validation: Sequence[Source] = ()


class ClusterTrainer(Protocol):
    """Fits a candidate's estimator on all workers of a cluster."""

    def __call__(
        self,
        client: Client,
        rows: ClusterRows,
        *,
        candidate: str,
        hyperparameters: Mapping[str, Any],
        seed: int,
    ) -> Estimator:
        """The fitted estimator; its hyperparameters name what training chose (best_iteration)."""


def cluster_trainer(candidate: Candidate) -> ClusterTrainer:
    """The function that `candidate.cluster_trainer` names.

    Raises:
        ValueError: the candidate is not trained on clusters.
        ImportError, AttributeError: there is no such function.
    """
    if candidate.cluster_trainer is None:
        raise ValueError(f"{candidate.name} has no trainer for a cluster")
    return cast("ClusterTrainer", pkgutil.resolve_name(candidate.cluster_trainer))
