"""What a gate is: one question to a challenger, asked of everything that is known of a duel."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date

from realtor_model.duel.duel_policy import DuelPolicy
from realtor_model.duel.model_comparison import ModelComparison
from realtor_model.evaluation.scored_listings import ScoredListings
from realtor_model.valuation.valuation_model import ValuationModel


@dataclass(frozen=True)
class ServiceTrial:
    """What the service's own code made of the challenger's bundle.

    megabytes: size of the bundle. problem: why the service can't load it; "" where it can, and
    then: load_seconds; homes, how many it valued one by one; largest_difference of these values
    from the model's own, dollars; median_milliseconds of one valuation.
    """

    megabytes: float
    problem: str = ""
    load_seconds: float = 0.0
    homes: int = 0
    largest_difference: float = 0.0
    median_milliseconds: float = 0.0


@dataclass(frozen=True)
class DuelContext:
    """Everything that a gate may look at.

    challenger: the model, and `listings`: what it made of the test listings. comparison: the same
    listings beside the champion's estimates; None without a champion. trial: None where the
    service's code did not try the bundle. as_of: the date that the data speaks for.
    """

    challenger: ValuationModel
    listings: ScoredListings
    comparison: ModelComparison | None
    trial: ServiceTrial | None
    policy: DuelPolicy
    as_of: date

    @property
    def beside_champion(self) -> ModelComparison:
        """The comparison, for gates that are asked only beside a champion."""
        assert self.comparison is not None
        return self.comparison

    @property
    def service_trial(self) -> ServiceTrial:
        """The trial, for gates that are asked only after one."""
        assert self.trial is not None
        return self.trial


@dataclass(frozen=True)
class Answer:
    """A gate's answer: passed or not, a sentence with figures and limits, the figures."""

    passed: bool
    words: str
    figures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Criterion:
    """A gate's answer under the gate's name, as it is recorded and published."""

    name: str
    passed: bool
    words: str
    figures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Gate:
    """One question that a challenger must pass.

    Args:
        name: stable; the code of its criterion, the name of its Dagster check, and the key of its
            texts in the app.
        description: the question, in a sentence.
        limits: the fields of `DuelPolicy` that it applies.
        ask: the question itself.
        relative: asked only beside a champion.
        of_service: asked only where the service's own code tried the bundle.
    """

    name: str
    description: str
    limits: tuple[str, ...]
    ask: Callable[[DuelContext], Answer]
    relative: bool = False
    of_service: bool = False

    @property
    def text_key(self) -> str:
        """The key of its title in the app's texts; `gate_result.<name>` has its sentence."""
        return f"criterion.{self.name}"

    def applies(self, duel: DuelContext) -> bool:
        """Whether the question can be asked in this duel."""
        return (duel.comparison is not None or not self.relative) and (
            duel.trial is not None or not self.of_service
        )

    def judge(self, duel: DuelContext) -> Criterion:
        """The answer of this duel's challenger."""
        answer = self.ask(duel)
        return Criterion(self.name, answer.passed, answer.words, answer.figures)
