"""The batch endpoint's body and answer, in whichever of four formats they come and go."""

from typing import Self

from pydantic import PrivateAttr, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from realtor_model.messages import message
from realtor_serving.champion.served_champion import Champion
from realtor_serving.contract.schemas import BatchRequest
from realtor_serving.http.requests import Body, InvalidBody
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
from realtor_serving.valuation.answers import Valued

_TABLES_BY_TYPE = f"; a table is read when the Content-Type is one of {', '.join(TABLES)}"


class BatchBody(Body, BatchRequest):
    """Properties to value together: JSON, or a table by its content type.

    It is kept as it came until it is answered: read, it takes many times the memory.
    """

    _content: bytes = PrivateAttr(b"")
    _sent: str = PrivateAttr(JSON)
    _answer_type: str = PrivateAttr(JSON)

    @classmethod
    async def from_http_request(cls, request: Request, serde: object) -> Self:
        """The body, and what its content type says that it is."""
        body = cls.model_construct(properties=[])
        sent = media_type(request.headers.get("content-type", ""))
        body._sent = sent if sent in TABLES else JSON
        body._answer_type = answer_type(request.headers.get("accept", ""), body._sent)
        body._content = await request.body()
        return body

    def answer(self, champion: Champion) -> tuple[Response, Valued | None]:
        """The valuations in the format that was asked for; None of them where there are none."""
        try:
            table = None if self._sent == JSON else read_table(self._content, self._sent)
            rows = (
                BatchRequest.model_validate_json(self._content).properties
                if table is None
                # As read: types that JSON lacks, dates and decimals, are for each row's own check.
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
        response.headers["X-Model-Version"] = champion.release.version
        return response, batch.valued
