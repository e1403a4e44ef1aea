"""Body and answer of the batch endpoint: JSON, CSV, Parquet or Arrow."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from pydantic import ValidationError
from starlette.datastructures import Headers
from starlette.responses import Response

from realtor_model.listing import ListingContract
from realtor_model.messages import message
from realtor_serving.champion.served_champion import Champion
from realtor_serving.contract.schemas import BatchRequest
from realtor_serving.http.requests import InvalidBody, RawBody
from realtor_serving.http.table_bodies import (
    JSON,
    TABLES,
    ReceivedTable,
    UnreadableTable,
    answer_table,
    answer_type,
    homes_of,
    media_type,
    read_table,
    write_table,
)
from realtor_serving.valuation import answers
from realtor_serving.valuation.answers import ValuedHomes

# Bytes of the header with the notes about a table; common proxies refuse headers of 8 KB.
_LONGEST = 4_000
_TABLES_BY_TYPE = f"; a table is read when the Content-Type is one of {', '.join(TABLES)}"


@dataclass(frozen=True)
class BatchBody:
    """Homes to value together: JSON, or a table by its content type.

    The body stays bytes until it is answered, because the parsed rows need much more memory.

    Attributes:
        content: the bytes.
        sent: their media type.
        answer_type: media type of the answer.
    """

    content: bytes
    sent: str
    answer_type: str

    @classmethod
    def of(cls, body: RawBody) -> Self:
        """The body with its media type and that of the answer, from the headers."""
        headers = Headers(raw=[*body.headers])
        sent = media_type(headers.get("content-type", ""))
        sent = sent if sent in TABLES else JSON
        return cls(body.content, sent, answer_type(headers.get("accept", ""), sent))

    def answer(self, champion: Champion) -> tuple[Response, ValuedHomes | None]:
        """Value the rows of the body with `champion`.

        Returns:
            The response in the requested format, and its valuations. A refusal has None instead of
            valuations.
        """
        try:
            contract = champion.model.contract
            table, notes = self._table(contract)
            batch = (
                answers.value_rows(
                    champion, BatchRequest.model_validate_json(self.content).properties
                )
                if table is None
                else answers.value_read(champion, homes_of(table, contract), notes)
            )
            if self.answer_type == JSON:
                return Response(batch.json(), media_type=JSON), batch.valued
            content = write_table(answer_table(table, batch), self.answer_type)
        except UnreadableTable as problem:
            return InvalidBody(message("unreadable_table", reason=str(problem))).response, None
        except ValidationError as error:
            return InvalidBody.of(error, _TABLES_BY_TYPE).response, None
        response = Response(content, media_type=self.answer_type)
        response.headers["X-Model-Version"] = champion.registered.version
        response.headers["X-Notes"] = _header_of(note.text for note in batch.notes)
        return response, batch.valued

    def _table(self, contract: ListingContract) -> ReceivedTable | tuple[None, tuple[()]]:
        """The table in the body; None if it is JSON."""
        return (None, ()) if self.sent == JSON else read_table(self.content, self.sent, contract)


def _header_of(texts: Iterable[str]) -> str:
    """The first texts as a JSON list of at most `_LONGEST` characters, all of them ASCII.

    >>> _header_of(["The column LOT is read in square feet."])
    '["The column LOT is read in square feet."]'
    """
    listed: list[str] = []
    for text in texts:
        if len(json.dumps([*listed, text])) > _LONGEST:
            break
        listed.append(text)
    return json.dumps(listed)
