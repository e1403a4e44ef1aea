"""The gates of the duel and the limits of both policies, from their registries."""

from dataclasses import asdict

from realtor_model.duel import DuelPolicy, gates
from realtor_model.retraining.retrain_policy import RetrainPolicy


def page() -> str:
    """The page as Markdown."""
    limits = asdict(DuelPolicy())
    rows = [
        f"| `{gate.name}` | {gate.description} | {'yes' if gate.relative else ''} | "
        f"{', '.join(f'`{limit}` = {_value(limits[limit])}' for limit in gate.limits)} |"
        for gate in gates.GATES
    ]
    retrain = [f"| `{name}` | {_value(limit)} |" for name, limit in asdict(RetrainPolicy()).items()]
    return "\n".join(
        [
            "# Gates and limits",
            "",
            "A challenger is promoted only if it passes every gate. The first that it fails, in "
            "this order, is the rule of its rejection. What the limits mean stands at "
            "`DuelPolicy` and `RetrainPolicy` in the API reference.",
            "",
            "| gate | question | only beside a champion | limits |",
            "|---|---|---|---|",
            *rows,
            "",
            "A batch is trained on if it passes one of these limits.",
            "",
            "| limit | value |",
            "|---|---|",
            *retrain,
        ]
    )


def _value(limit: float | tuple[float, ...]) -> str:
    return " to ".join(f"{end:g}" for end in limit) if isinstance(limit, tuple) else f"{limit:g}"
