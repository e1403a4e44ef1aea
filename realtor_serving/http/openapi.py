"""The service's OpenAPI document: what it accepts and every answer it can give.

BentoML's own leaves out the GET routes, flattens what may be null, and knows none of our errors.
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
    403: "Not from here: another site's page, or from outside while the service knows no key.",
    404: "There is nothing here.",
    405: "Another method is meant.",
    408: "The body did not arrive in time.",
    409: "The version in production cannot serve; the service goes on with the one it has.",
    413: "The body is too large.",
    415: "The body is of a type that is not read.",
    429: "Too many requests at once; Retry-After says when to ask again.",
    500: "A fault of the service; its log says more of the request's id.",
    503: "No model yet, or too much work; Retry-After says when to ask again.",
    504: "It could not be answered in time.",
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
    queries: Mapping[str, type[BaseModel]],
    tables: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    """OpenAPI 3.1 of BentoML's `apis` (its APIMethods, all POST) and of `pages`.

    pages: by path, what a GET does in words, and the model of its answer or its media type.
    queries: by path, the model of a page's query. tables: by path, the media types other than JSON
    in which an API is asked and answers.
    """
    models: set[tuple[type[BaseModel], str]] = {(Refusal, "serialization")}
    paths: dict[str, Any] = {}
    for path, (words, answer) in pages.items():
        if not isinstance(answer, str):
            models.add((answer, "serialization"))
        operation = _operation(path, words, answer, _READ_ERRORS, rules[path])
        if path in queries:
            operation["parameters"] += _parameters(queries[path])
        paths[path] = {"get": operation}
    for api in apis:
        asked, answer = _plain(api.input_spec), _plain(api.output_spec)
        models.add((answer, "serialization"))
        words = (api.doc or "").partition("\n")[0]
        errors = (*_WRITE_ERRORS, 409) if rules[api.route].writes else _WRITE_ERRORS
        operation = _operation(api.route, words, answer, errors, rules[api.route])
        if asked.model_fields:
            models.add((asked, "validation"))
            also = {kind: {"schema": _BYTES} for kind in tables.get(api.route, ())}
            content = {_JSON: {"schema": _reference(asked)}} | also
            operation["requestBody"] = {"required": True, "content": content}
            answered = operation["responses"]["200"]
            answered["content"] |= also
            if also:
                answered["headers"]["X-Model-Version"] = {
                    "description": "With a table, which has no place for it: the model's version.",
                    "schema": {"type": "string"},
                }
        paths[api.route] = {"post": operation}
    _, schemas = models_json_schema(
        sorted(models, key=lambda each: each[0].__name__),  # type: ignore[arg-type]
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
    words: str,
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
        "summary": words,
        "operationId": path.strip("/").replace("-", "_").replace(".", "_") or "index",
        "parameters": [
            {
                "name": "X-Request-ID",
                "in": "header",
                "description": "An id of the client's own, which the answer repeats.",
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
        # Needed from outside this machine: for what changes the service, or for everything.
        operation["security"] = [{"key": []}] if rule.writes else [{"key": []}, {}]
    return operation


def _parameters(query: type[BaseModel]) -> list[dict[str, Any]]:
    described = query.model_json_schema()
    required = described.get("required", ())
    return [
        {
            "name": name,
            "in": "query",
            "required": name in required,
            "description": schema.get("description", ""),
            "schema": {key: value for key, value in schema.items() if key != "description"},
        }
        for name, schema in described["properties"].items()
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
    """The model itself, where BentoML made a descriptor of it."""
    return next(
        base
        for base in model.__mro__
        if issubclass(base, BaseModel) and not issubclass(base, IOMixin)
    )
