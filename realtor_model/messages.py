"""Messages that a program can recognise: a stable code, its parameters, and an English sentence.

A code never changes its meaning. The sentence is made from the code's template and may be reworded.
The app has its own sentences for each code, English ones too, in `realtor_ui/texts/`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

Parameter = str | int | float | bool | None | list[str]

MESSAGES: Mapping[str, str] = MappingProxyType(
    {
        # Warnings about a valuation.
        "no_sales_learned": "The model learned from no sales: the estimate is closer to an asking "
        "price.",
        "unknown_place": "{input} {value} is not among the listings the model learned from: the "
        "home is valued by its surroundings.",
        "place_contradiction": "{state} (as given) and zip {zip_code}, which is in {zip_city}, "
        "{zip_state}: the home is valued by its zip code.",
        "no_zip_code": "Without a zip code the home is valued by what is usual in its {placed_by}.",
        "valued_as_land": "Without size, bedrooms or bathrooms this is valued as land.",
        "input_missing": "Without {input} the home is valued like listings that leave it out.",
        "outside_learned_range": "{input} {value:,.10g} is outside the range the model learned "
        "from: {low:,.6g} to {high:,.6g} {unit}.",
        # How a home or a table of homes was read.
        "left_out": "{input} is left out: {value} cannot be read.",
        "zero_is_unknown": "{input} 0 is read as unknown.",
        "unused_fields": "Not used: {fields}.",
        "unused_columns": "Columns not used ({count}): {columns}.",
        "resembling_header": "The column {header} is not used; it resembles {input}.",
        "read_in_units_of": "The column {header} is read in the units of the column {units}.",
        "read_in_unit": "The column {header} is read in {unit}.",
        "read_with_decimal_comma": "Numbers are read with a decimal comma: {header}.",
        "read_in_day_order": "Dates with {separator} in the column {header} are read with the "
        "{order}.",
        # What a value has to be; the name of the field, and "is …; it", come before.
        "required": "is required",
        "not_a_number": "must be a number",
        "out_of_range": "must be from {low:,g} to {high:,.12g} {unit}",
        "not_a_whole_number": "must be a whole number",
        "not_text": "must be text",
        "not_printable": "must be printable text",
        "text_too_long": "must be text of at most {limit} characters",
        "not_a_zip_code": "must be a zip code of 5 digits",
        "not_a_boolean": "must be true or false",
        "not_a_date": "must be a date YYYY-MM-DD from {first} to {last}",
        "not_a_choice": "must be one of {choices}",
        # What is wrong with a home or a request body as a whole.
        "place_required": "{places} is required: without a place there is no value",
        "size_required": "one of {sizes} is required",
        "unknown_field": "there is no such field; GET /docs.json describes those there are",
        "total_row": "this is a row of totals ({label}), not a home",
        "not_an_object": "Input should be an object",
        "invalid_json": "Invalid JSON: {error}",
        # Why a file cannot be read.
        "empty_file": "the file is empty",
        "header_without_rows": "below the header in line {line} there are no rows",
        "nul_in_text": "line {line} holds a NUL character: the file is damaged, or is not text. "
        "Export it again",
        "unknown_encoding": "the text is neither UTF-8, UTF-16 nor Windows-1252: save it as UTF-8",
        "unclosed_quote": 'the quotation mark (") that opens in or after line {line} is not closed',
        "columns_missing": "there is no column for {columns}. The headers are {headers}. Rename "
        "the one that is meant, or name it in the market file (REALTOR_MARKET)",
        "repeated_header": "two columns have the header {header}: remove one of them or rename it",
        "compressed_file": "this is a file compressed by {format}: unpack it and use the file "
        "inside",
        "not_a_table": "this is a file of the type {format}, not a table: export the table as CSV, "
        "Excel or Parquet",
        "web_page": "this is a web page, perhaps that of a login: download the file itself, or "
        "save the table as CSV or Excel",
        "protected_workbook": "the workbook is protected by a password: save it without one",
        "damaged_file": "the file is damaged or is no proper {format} file ({problem}): export it "
        "again",
        "file_too_large": "the file holds more than {megabytes:,} MB when unpacked: split it, or "
        "save it as CSV or Parquet",
        "sheet_too_large": "a sheet has more than {limit:,} cells up to its last used one: delete "
        "stray cells, or save it as CSV",
        "no_such_sheet": "there is no sheet {sheet}; the sheets are {sheets}",
        "no_table_in_workbook": "no sheet of the workbook holds a header with rows below it",
        # What was detected in a file.
        "text_encoding": "The text is encoded in {encoding}.",
        "separated_by": "The cells are separated by {delimiter} characters.",
        "separated_by_tabs": "The cells are separated by tabs.",
        "blanks_after_delimiter": "Blanks after the delimiters are left out.",
        "title_lines": "The header is in line {header_line}; title lines above it, which are left "
        "out: {lines}.",
        "empty_columns_left_out": "Empty columns without a header, left out: {count}.",
        "empty_cells_beyond_header": "Rows end in empty cells beyond the header: these are left "
        "out.",
        "blank_headers_named": "Columns without a header are called {columns}.",
        "repeated_headers_numbered": "Headers that occur several times are numbered: {columns}.",
        "blank_rows": "Blank rows, which are left out: {rows:,}.",
        "rows_of_other_width": "Rows with more or fewer cells than the header, not valued: "
        "{rows:,}.",
        "sheet_chosen": "The sheet {sheet} is read; the other sheets are {other_sheets}.",
        "error_cells": "Cells with an error such as #N/A, which are missing values: {count:,}.",
        "formulas_without_value": "Formulas without a stored value, which are missing values: "
        "{count:,}. Open the file in the spreadsheet program and save it again.",
        "index_left_out": "The column {header} is the row index of the program that wrote "
        "the file: it is left out.",
        # What is wrong with a row of a file.
        "row_does_not_fit": "the row has {cells} cells, but the header has {columns}",
        # Why the service refuses a request.
        "no_model": "no model is loaded yet. The service takes the version of {model} with the "
        "alias `{alias}` from MLflow by itself: train one (`realtor train`), or see the service's "
        "log for why it could not be loaded",
        "not_found": "there is nothing here; GET / lists the endpoints",
        "method_not_allowed": "{path} takes {allowed}",
        "unknown_host": "this service does not answer to the host name {host!r}; "
        "REALTOR_SERVICE_ALLOWED_HOSTS names the ones it does",
        "cross_site_request": "this service does not answer to other sites' pages",
        "api_key_required": "this needs an API key: Authorization: Bearer …",
        "no_api_keys_configured": "from outside this machine this needs an API key, and the "
        "service knows none: `python -m realtor_serving.http.api_keys` makes one",
        "pickle_not_accepted": "a pickle is not read: it could run code of its own",
        "body_too_large": "the body is larger than {limit:,} bytes",
        "body_incomplete": "the connection closed before the whole body had arrived",
        "body_timeout": "the body did not arrive within {seconds:g} seconds",
        "busy": "the service is working on as many requests as it can; ask again",
        "answer_timeout": "it could not be answered within {seconds:g} seconds",
        "internal_error": "the service failed; its log says why, under request id {request_id}",
        "invalid_request": "{reason}",
        "unreadable_table": "{reason}",
        "history_not_configured": "REALTOR_HISTORY_URL is not set: this service has no history to "
        "show",
        "history_not_published": "no history is published yet. The jobs clean, train and serve "
        "publish it",
        "history_unavailable": "{reason}",
        "model_lacks_market_data": "version {version} was trained before models carried the sales "
        "and the market they learned from: train again",
        "registry_unavailable": "{reason}. The service keeps the model it has",
        "model_refused": "{reason}. The service keeps the model it has",
        "workers_behind": "{reason}",
        # Why a batch is trained on, skipped or held.
        "first_model": "There is no model in Production yet: batch {batch} trains the first one.",
        "nothing_new": "Batch {batch} brings nothing new: each of its rows is in RAW or in the "
        "quarantine already.",
        "refused_batch": "Batch {batch} was refused as a whole and is not in RAW: {error}",
        "known_to_champion": "The champion was trained with batch {batch} already.",
        "outside_price_domain": "Batch {batch} holds nothing to learn from: none of its {rows:,} "
        "new rows has a price from ${low:,.0f} to ${high:,.0f}.",
        "champion_unreadable": "Version {version} is in Production, but this release can't read "
        "it: {problem}.",
        "suspect_data": "Batch {batch} looks broken: nothing is trained on it until a person has "
        "looked at it.",
        "relation_lost": "{column} no longer goes with {measured}.",
        "prices_off_level": "Its prices are {ratio:.3g} times the champion's estimates.",
        "state_prices_off_level": "Prices in {state} are {ratio:.3g} times the champion's "
        "estimates, {elsewhere:.3g} times elsewhere.",
        "no_reason_to_train": "No limit is exceeded: the median error on batch {batch} is "
        "{error:.1%}, was {expected_error:.1%} on the champion's own test split; the largest drift "
        "is that of {feature}, PSI {psi:.2f}; {unseen_share:.1%} of its rows name a {input} never "
        "seen in training; {new_rows:,} new rows on top of {champion_rows:,}; the champion is "
        "{days:.0f} days old.",
        "error": "The median error on batch {batch} is {error:.1%}, was {expected_error:.1%} on "
        "the champion's own test split (limit {limit:g} times that).",
        "price_range": "{above:.1%} of its prices lie above the range seen in training and "
        "{below:.1%} below it (limit {limit:.0%}).",
        "drift": "{feature} has drifted: {measure} {value:.2f} (limit {limit:g}).",
        "unseen_categories": "{share:.1%} of its rows name a {input} never seen in training "
        "({usual:.1%} are usual, limit {limit:.1%}).",
        "missing_values": "The share of rows without {input} changed by {points:+.0f} percentage "
        "points since training (limit {limit:.0f}).",
        "volume": "{new_rows:,} new rows on top of {champion_rows:,} (limit {limit:.0%}).",
        "age": "The champion is {days:.0f} days old (limit {limit:.0f}).",
        # Why a challenger is promoted, or waits. A gate that failed has its own name as the code.
        "first_champion": "There was no model in Production: the first one becomes the baseline. "
        "It passed all {gates} gates.",
        "clearly_better": "All {gates} gates are passed.",
        "passed_absolute_gates": "Without a champion to compare with, the challenger passed all "
        "{gates} gates that it is asked for itself.",
        "waits_for_approval": "It waits for a person: `realtor approve {version}`.",
        "overtaken": "Version {version} was compared with version {met}, and version {current} has "
        "come into Production since: train again, to compare with that one.",
        "approved": "Approved by {approver}: {rationale}",
    }
)


@dataclass(frozen=True)
class CodedMessage:
    """A message: its code in `MESSAGES`, and the parameters of the code's template."""

    code: str
    params: Mapping[str, Parameter] = field(default_factory=dict, hash=False)

    @cached_property
    def text(self) -> str:
        """The English sentence; lists are joined by commas."""
        shown = dict(self.params)
        for name, value in self.params.items():
            if isinstance(value, list):
                shown[name] = ", ".join(value)
        return MESSAGES[self.code].format(**shown)

    def to_dict(self) -> dict[str, Any]:
        """code, params and message, as the API, the tables and the history carry them."""
        return {"code": self.code, "params": dict(self.params), "message": self.text}


def message(code: str, **params: Parameter) -> CodedMessage:
    """The message `code` with its parameters.

    Raises:
        KeyError: `MESSAGES` has no such code, or its template needs a parameter that is missing.

    >>> message("no_zip_code", placed_by="city").text
    'Without a zip code the home is valued by what is usual in its city.'
    >>> message("not_a_choice", choices=["for_sale", "sold"]).text
    'must be one of for_sale, sold'
    """
    coded = CodedMessage(code, params)
    coded.text  # noqa: B018  # a template that lacks a parameter fails where the message is made
    return coded
