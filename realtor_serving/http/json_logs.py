"""The service's log: one JSON object a line, each with the request that it belongs to."""

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime

REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)


class JsonFormatter(logging.Formatter):
    """A record as JSON: time, level, logger, message, request_id, and the fields of `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`; `extra={"fields": {...}}` adds fields."""
        told = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "pid": record.process,
        }
        if request_id := REQUEST_ID.get():
            told["request_id"] = request_id
        told |= getattr(record, "fields", {})
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return json.dumps(told, default=str)


def configure() -> None:
    """Write what every library logs as JSON to stdout, in place of BentoML's own text."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    for name in ("bentoml", "circus", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    logging.getLogger("realtor_serving").setLevel(logging.INFO)
