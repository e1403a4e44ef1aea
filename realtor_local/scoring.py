"""`realtor score`: a file of properties valued with the champion, without the service."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from realtor_local.errors import RealtorError
from realtor_model.bundle import BrokenBundle, ValuationModel
from realtor_serving.batch import UnusableFile, score_file
from realtor_serving.cache import ChampionCache


def score_with_champion(cache: Path, source: Path, target: Path, console: Console) -> None:
    """Values the rows of `source` with the champion that the service keeps in `cache`.

    Raises RealtorError when there is no champion, or when a file cannot be used.
    """
    pointer = ChampionCache(cache).current()
    if pointer is None:
        raise RealtorError(f"There is no champion in {cache} yet: `realtor up` makes one.")
    try:
        model = ValuationModel.load(pointer.path)
        with console.status("valuing") as status:
            report = score_file(
                source, target, model, progress=lambda rows: status.update(f"{rows:,} rows valued")
            )
    except (BrokenBundle, UnusableFile) as error:
        raise RealtorError(str(error)) from error
    console.print(
        f"{report.rows:,} rows in {report.seconds:.1f} s with version {pointer.release.version}: "
        f"{report.valued:,} valued, {report.failed:,} not (column `error` says why). {target}"
    )
