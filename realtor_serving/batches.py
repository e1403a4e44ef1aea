"""The batch endpoint's body and answer, in whichever of four formats they come and go."""

from collections.abc import Sequence
from typing import Any

import anyio.to_thread
import pyarrow as pa
from pydantic import PrivateAttr, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from realtor_serving import valuation
from realtor_serving.champion import Champion
from realtor_serving.requests import Body, InvalidBody
from realtor_serving.schemas import BatchRequest
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
from realtor_serving.valuation import Valued


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

    def answer(self, champion: Champion) -> tuple[Response, Valued | None]:
        """The valuations in the format that was asked for; None of them for one that cannot be."""
        rows: Sequence[dict[str, Any]] = self.properties
        batch = valuation.value_rows(champion, rows)
        if self._answer_type == JSON:
            return Response(batch.json(), media_type=JSON), batch.valued
        try:
            content = write_table(answer_table(self._table, batch), self._answer_type)
        except UnreadableTable as problem:
            return InvalidBody(str(problem)).response, None
        response = Response(content, media_type=self._answer_type)
        response.headers["X-Model-Version"] = champion.release.version
        return response, batch.valued
