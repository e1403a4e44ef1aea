"""Commands that value homes: one with the running service, a table with the champion."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from realtor_local.cli import context
from realtor_local.errors import RealtorError

HELP_SECONDS = 2.0


class PredictCommand(TyperCommand):
    """`realtor predict`; its help ends with the inputs of the model that a service here serves."""

    # Typer brings a click of its own, whose types are private.
    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help."""
        from realtor_local.console_output import inputs_table, print_table
        from realtor_local.service_client import ServiceClient

        super().format_help(ctx, formatter)
        try:
            info = ServiceClient(_service_url()).model_info(timeout=HELP_SECONDS)
        except RealtorError:
            return
        print_table(context.console(), inputs_table(info["inputs"]))


def predict(
    # Texts, which the service reads: 1,800 and "167 m²" as well as 1800.
    brokered_by: Annotated[str | None, typer.Option(help="Code of the broker.")] = None,
    status: Annotated[str | None, typer.Option(help="for_sale, sold or ready_to_build.")] = None,
    bed: Annotated[str | None, typer.Option(help="Bedrooms.")] = None,
    bath: Annotated[str | None, typer.Option(help="Bathrooms, such as 2.5.")] = None,
    acre_lot: Annotated[
        str | None, typer.Option(help="Size of the lot, in acres or with its unit.")
    ] = None,
    street: Annotated[str | None, typer.Option(help="Street; not used to value.")] = None,
    city: Annotated[str | None, typer.Option(help="City.")] = None,
    state: Annotated[str | None, typer.Option(help="State, such as Texas or TX.")] = None,
    zip_code: Annotated[str | None, typer.Option(help="Zip code.")] = None,
    house_size: Annotated[
        str | None, typer.Option(help="Living area, in square feet or with its unit.")
    ] = None,
    prev_sold_date: Annotated[
        str | None, typer.Option(help="Date of the last sale, such as 2022-03-15.")
    ] = None,
    others: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Any input of the market, by its name or a header that files have for it "
            "(sqft=1,800); can be repeated.",
        ),
    ] = None,
    listing: Annotated[
        str | None,
        typer.Option("--json", help="The home as a JSON object, instead of options."),
    ] = None,
) -> None:
    """Value one home with the running service.

    The options are the inputs of the built-in market; --set gives those of any other. Values are
    read as in a file: 1,800, "167 m²", TX.

    Exit codes: 0 valued, 1 the service refuses (the reason names the field) or does not answer.
    """
    from realtor_local.console_output import valuation_text
    from realtor_local.service_client import ServiceClient

    given: dict[str, Any] = {
        "brokered_by": brokered_by,
        "status": status,
        "bed": bed,
        "bath": bath,
        "acre_lot": acre_lot,
        "street": street,
        "city": city,
        "state": state,
        "zip_code": zip_code,
        "house_size": house_size,
        "prev_sold_date": prev_sold_date,
    }
    given = {name: value for name, value in given.items() if value is not None}
    given |= dict(map(_name_and_value, others or ()))
    if listing is not None:
        if given:
            raise typer.BadParameter("give --json or options, not both")
        given = _json_object(listing)
    valuation = ServiceClient(_service_url()).predict(given)
    console = context.console()
    console.print(valuation_text(valuation))
    model = valuation["model"]
    console.print(f"by {model['name']} version {model['version']} ({model['candidate']})")
    for warning in valuation["warnings"]:
        console.print(f"note: {warning}", style="yellow")


def score(
    source: Annotated[
        str,
        typer.Argument(
            metavar="IN",
            help="Homes: a text, Excel, Parquet or Arrow file, or postgresql://… with --table.",
        ),
    ],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="File to write, CSV or Parquet.")],
    table: Annotated[
        str | None,
        typer.Option(help="Table of the database IN: its name, or schema.name."),
    ] = None,
) -> None:
    """Value a file or a table of homes with the champion, without the service.

    OUT has every row of IN, with an estimate or the reason why there is none: the columns of
    IN, and estimated_price, estimated_low, estimated_high, confidence, warnings and error, which
    replace columns of IN with the same names. What was detected in a file (delimiter, encoding,
    sheet …) is printed before. After an interruption, run the same command again: it
    continues where it stopped.

    Exit codes: 0 written, 1 there is no champion, IN cannot be read, or OUT cannot be written, 2 a
    URL without --table, or a file with it.
    """
    from realtor_local.champion_scoring import URL_SCHEMES, score_with_champion

    if source.startswith(URL_SCHEMES) != (table is not None):
        raise typer.BadParameter(
            "a postgresql:// URL needs --table; a file must not have it", param_hint="--table"
        )
    cache = Path(context.platform()["REALTOR_CHAMPION_CACHE"])
    score_with_champion(cache, source, table, target, context.console())


def _service_url() -> str:
    return os.environ.get("REALTOR_SERVICE_URL") or context.platform()["REALTOR_SERVICE_URL"]


def _name_and_value(text: str) -> tuple[str, str]:
    """The name and the value of --set. The service reads texts as numbers, dates and booleans."""
    name, equals, value = text.partition("=")
    if not name.strip() or not equals:
        raise typer.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--set")
    return name.strip(), value


def _json_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"not JSON: {error}", param_hint="--json") from error
    if not isinstance(value, dict):
        raise typer.BadParameter("must be a JSON object", param_hint="--json")
    return value
