"""Body and answer of the batch endpoint: JSON, CSV, Parquet or Arrow."""

from typing import Self

from pydantic import PrivateAttr, ValidationError
from starlette.datastructures import Headers
from starlette.responses import Response

from realtor_model.messages import message
from realtor_serving.champion.served_champion import Champion
from realtor_serving.contract.schemas import BatchRequest
from realtor_serving.http.requests import InvalidBody, RawBody
from realtor_serving.http.table_bodies import (
    JSON,
    TABLES,
    UnreadableTable,
    answer_table,
    answer_type,
    media_type,
    read_table,
    rows_of,
    write_table,
)
from realtor_serving.valuation import answers
from realtor_serving.valuation.answers import ValuedHomes

_TABLES_BY_TYPE = f"; a table is read when the Content-Type is one of {', '.join(TABLES)}"


class BatchBody(RawBody, BatchRequest):
    """Properties to value together: JSON, or a table by its content type.

    The body stays bytes until it is answered, because the parsed rows need much more memory.
    """

    _content: bytes = PrivateAttr(b"")
    _sent: str = PrivateAttr(JSON)
    _answer_type: str = PrivateAttr(JSON)

    @classmethod
    def of(cls, headers: Headers, content: bytes) -> Self:
        """The body with its content type and the media type of the answer."""
        body = cls.model_construct(properties=[])
        sent = media_type(headers.get("content-type", ""))
        body._sent = sent if sent in TABLES else JSON
        body._answer_type = answer_type(headers.get("accept", ""), body._sent)
        body._content = content
        return body

    def answer(self, champion: Champion) -> tuple[Response, ValuedHomes | None]:
        """Value the rows of the body with `champion`.

        Returns:
            The response in the requested format, and its valuations. A refusal has None instead of
            valuations.
        """
        try:
            table = None if self._sent == JSON else read_table(self._content, self._sent)
            rows = (
                BatchRequest.model_validate_json(self._content).properties
                if table is None
                # The check of each row also reads types that JSON lacks: dates and decimals.
                else rows_of(table)
            )
            batch = answers.value_rows(champion, rows)
            if self._answer_type == JSON:
                return Response(batch.json(), media_type=JSON), batch.valued
            content = write_table(answer_table(table, batch), self._answer_type)
        except UnreadableTable as problem:
            return InvalidBody(message("unreadable_table", reason=str(problem))).response, None
        except ValidationError as error:
            return InvalidBody.of(error, _TABLES_BY_TYPE).response, None
        response = Response(content, media_type=self._answer_type)
        response.headers["X-Model-Version"] = champion.registered.version
        return response, batch.valued
