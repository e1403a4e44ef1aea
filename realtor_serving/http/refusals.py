"""What is answered where the champion cannot answer."""

from starlette.responses import Response

from realtor_model.registry_names import REGISTERED_MODEL
from realtor_serving.champion.served_champion import Champion
from realtor_serving.http.requests import refuse, unavailable

_NO_MODEL = (
    f"no model is loaded yet. The service takes the version of {REGISTERED_MODEL} with the alias "
    "`production` from MLflow by itself: train one (`realtor train`), or see the service's log for "
    "why it could not be loaded"
)
_FROM_BEFORE = (
    "was trained before models carried the sales and the market they learned from: train again"
)


def no_model() -> Response:
    """There is no champion yet."""
    return unavailable(_NO_MODEL)


def from_before(champion: Champion) -> Response:
    """The champion carries no sales and no market."""
    return refuse(404, f"version {champion.release.version} {_FROM_BEFORE}")
