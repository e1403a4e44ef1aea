"""The service's OpenAPI document: requests, answers and errors of every route.

BentoML's own document lacks the GET routes and our errors, and drops `null` from optional fields.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from _bentoml_sdk.io_models import IOMixin
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from realtor_serving.contract.schemas import Refusal
from realtor_serving.http.admission import OPEN_PATHS, RouteRule

_REFS = "#/components/schemas/{model}"
_JSON = "application/json"
_ERRORS = {
    400: "The request breaks its schema; the answer names field, value and rule.",
    401: "An API key is missing or wrong.",
    403: "A page of another site called, or a key is needed and the service has none configured.",
    404: "Nothing is found at this path, or the service lacks the data.",
    405: "The path does not allow this method; Allow names those it does.",
    408: "The body did not arrive in time.",
    409: "The production version cannot serve; the service keeps its current model.",
    413: "The body is too large.",
    415: "The content type of the body is not accepted.",
    429: "Too many requests at once; Retry-After says when to ask again.",
    500: "An error in the service; its log has details under the request's id.",
    503: "No model yet, or the service is overloaded; Retry-After says when to ask again.",
    504: "The answer took too long.",
}
_READ_ERRORS = (400, 401, 403, 404, 405, 429, 500, 503, 504)
_WRITE_ERRORS = (*_READ_ERRORS, 408, 413, 415)
_RETRIED = (429, 503)
_BYTES = {"type": "string", "format": "binary"}


def document(
    *,
    title: str,
    version: str,
    description: str,
    apis: Iterable[Any],
    pages: Mapping[str, tuple[str, type[BaseModel] | str]],
    rules: Mapping[str, RouteRule],
    bodies: Mapping[str, type[BaseModel]],
    queries: Mapping[str, type[BaseModel]],
    tables: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    """The OpenAPI 3.1 document of `apis` and `pages`.

    Args:
        title: name of the service.
        version: version of the service.
        description: one sentence about the service.
        apis: BentoML's APIMethods; all are POST.
        pages: by path of a GET route, its summary, and the model or media type of its answer.
        rules: by path, the route's rule.
        bodies: by path of an API that reads a body, the body's model.
        queries: by path of a GET route, the model of its query.
        tables: by path of an API, the media types other than JSON of its requests and answers.
    """
    models: set[tuple[type[BaseModel], str]] = {(Refusal, "serialization")}
    paths: dict[str, Any] = {}
    for path, (summary, answer) in pages.items():
        if not isinstance(answer, str):
            models.add((answer, "serialization"))
        operation = _operation(path, summary, answer, _READ_ERRORS, rules[path])
        if path in queries:
            operation["parameters"] += _parameters(queries[path])
        paths[path] = {"get": operation}
    for api in apis:
        answer = _plain(api.output_spec)
        models.add((answer, "serialization"))
        summary = (api.doc or "").partition("\n")[0]
        errors = (*_WRITE_ERRORS, 409) if rules[api.route].writes else _WRITE_ERRORS
        operation = _operation(api.route, summary, answer, errors, rules[api.route])
        if body := bodies.get(api.route):
            models.add((body, "validation"))
            table_content = {kind: {"schema": _BYTES} for kind in tables.get(api.route, ())}
            content = {_JSON: {"schema": _reference(body)}} | table_content
            operation["requestBody"] = {"required": True, "content": content}
            success = operation["responses"]["200"]
            success["content"] |= table_content
            if table_content:
                success["headers"]["X-Model-Version"] = {
                    "description": "The model's version; only with tables, which lack it.",
                    "schema": {"type": "string"},
                }
        paths[api.route] = {"post": operation}
    _, schemas = models_json_schema(
        sorted(models, key=lambda model: model[0].__name__),  # type: ignore[arg-type]
        ref_template=_REFS,
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": title,
            "version": version,
            "description": description,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "."}],
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "headers": {
                "X-Request-ID": {
                    "description": "The request's id: the client's own, or a new one.",
                    "schema": {"type": "string"},
                },
                "Retry-After": {
                    "description": "Seconds to wait before asking again.",
                    "schema": {"type": "integer"},
                },
            },
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(
    path: str,
    summary: str,
    answer: type[BaseModel] | str,
    errors: Iterable[int],
    rule: RouteRule,
) -> dict[str, Any]:
    content = (
        {answer: {"schema": {"type": "object" if answer == _JSON else "string"}}}
        if isinstance(answer, str)
        else {_JSON: {"schema": _reference(answer)}}
    )
    operation: dict[str, Any] = {
        "summary": summary,
        "operationId": path.strip("/").replace("-", "_").replace(".", "_") or "index",
        "parameters": [
            {
                "name": "X-Request-ID",
                "in": "header",
                "description": "The client's id of the request; the answer repeats it.",
                "schema": {"type": "string", "pattern": "^[A-Za-z0-9._:+/=-]{1,128}$"},
            }
        ],
        "responses": {
            "200": {
                "description": "The answer.",
                "headers": _headers(),
                "content": content,
            },
            **{str(status): _error(status) for status in sorted(errors)},
        },
    }
    if path not in OPEN_PATHS:
        # Other machines need a key for routes that change the service, or for all routes.
        operation["security"] = [{"key": []}] if rule.writes else [{"key": []}, {}]
    return operation


def _parameters(query: type[BaseModel]) -> list[dict[str, Any]]:
    query_schema = query.model_json_schema()
    required = query_schema.get("required", ())
    return [
        {
            "name": name,
            "in": "query",
            "required": name in required,
            "description": schema.get("description", ""),
            "schema": {key: value for key, value in schema.items() if key != "description"},
        }
        for name, schema in query_schema["properties"].items()
    ]


def _error(status: int) -> dict[str, Any]:
    return {
        "description": _ERRORS[status],
        "headers": _headers(retried=status in _RETRIED),
        "content": {_JSON: {"schema": _reference(Refusal)}},
    }


def _headers(*, retried: bool = False) -> dict[str, Any]:
    names = ("X-Request-ID", "Retry-After") if retried else ("X-Request-ID",)
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REFS.format(model=model.__name__)}


def _plain(model: type[BaseModel]) -> type[BaseModel]:
    """The pydantic model from which BentoML made the descriptor `model`."""
    return next(
        base
        for base in model.__mro__
        if issubclass(base, BaseModel) and not issubclass(base, IOMixin)
    )
