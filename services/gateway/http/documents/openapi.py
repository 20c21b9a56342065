"""What the OpenAPI document says beyond what FastAPI finds out by itself."""

from collections.abc import Callable
from json import dumps

from fastapi import FastAPI

from services.gateway.http.answers.problems import Problem
from services.gateway.http.requests.fields import Json

REF = "#/components/schemas/{model}"

Describe = Callable[[Json], None]  # adds its part to the document


def complete_openapi(app: FastAPI, *describe: Describe) -> None:
    """Add to the document what the routes refer to, and what each subject says of itself."""
    generate = app.openapi

    def openapi() -> Json:
        document = generate()
        for each in (_describe_problems, *describe, _tell_defaults):
            each(document)
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way to extend its document


def _describe_problems(document: Json) -> None:
    problem = Problem.model_json_schema(ref_template=REF)
    document["components"]["schemas"] |= problem.pop("$defs", {}) | {"Problem": problem}


def _tell_defaults(document: Json) -> None:
    """Say the defaults of fields in words: generated clients hold a field that has one for one that must be there."""
    for schema in document["components"]["schemas"].values():
        for field in schema.get("properties", {}).values():
            default = field.pop("default", None)
            if default not in (None, [], {}):
                said = f"Default: `{dumps(default)}`."
                field["description"] = f"{field['description']} {said}" if field.get("description") else said
