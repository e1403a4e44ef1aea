"""The batch endpoint's body and answer, in whichever of four formats they come and go."""

from collections.abc import Sequence
from typing import Any

import anyio.to_thread
import pyarrow as pa
from pydantic import PrivateAttr, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from realtor_model.listing import Property
from realtor_serving import valuation
from realtor_serving.champion import Champion
from realtor_serving.requests import Body, InvalidBody, json_response
from realtor_serving.schemas import BatchRequest, Valuation
from realtor_serving.tables import (
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


class BatchBody(Body, BatchRequest):
    """Properties to value together: JSON, or a table by its content type."""

    _table: pa.Table | None = PrivateAttr(None)
    _answer_type: str = PrivateAttr(JSON)

    @classmethod
    async def from_http_request(cls, request: Request, serde: object) -> "BatchBody | InvalidBody":
        """Read the body: a table where the content type says so, else JSON."""
        sent = media_type(request.headers.get("content-type", ""))
        answer = answer_type(request.headers.get("accept", ""), sent if sent in TABLES else JSON)
        if sent in TABLES:
            return await anyio.to_thread.run_sync(cls._read, await request.body(), sent, answer)
        try:
            read = cls.model_validate_json(await request.body())
        except ValidationError as error:
            return InvalidBody.of(error)
        read._answer_type = answer
        return read

    @classmethod
    def _read(cls, content: bytes, sent: str, answer: str) -> "BatchBody | InvalidBody":
        try:
            table = read_table(content, sent)
        except UnreadableTable as problem:
            return InvalidBody(str(problem))
        # As read: types that JSON lacks, dates and decimals, are for each row's own check.
        read = cls.model_construct(properties=rows_of(table))
        read._table, read._answer_type = table, answer
        return read

    def answer(self, champion: Champion) -> tuple[Response, list[Property], list[Valuation]]:
        """The valuations in the format that was asked for; with the properties that passed."""
        rows: Sequence[dict[str, Any]] = self.properties
        answer, properties, valuations = valuation.value_rows(champion, rows)
        if self._answer_type == JSON:
            return json_response(answer), properties, valuations
        try:
            content = write_table(answer_table(self._table, answer.results), self._answer_type)
        except UnreadableTable as problem:
            return InvalidBody(str(problem)).response, [], []
        response = Response(content, media_type=self._answer_type)
        response.headers["X-Model-Version"] = answer.model.version
        return response, properties, valuations
