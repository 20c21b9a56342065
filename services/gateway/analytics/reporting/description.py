"""What the OpenAPI document says of bodies that the routes of traces read and write themselves."""

from services.gateway.analytics.reporting.new_trace import NewTrace
from services.gateway.analytics.reporting.otlp_routes import ExportAnswer
from services.gateway.http.documents.openapi import REF
from services.gateway.http.requests.fields import Json


def describe_traces(document: Json) -> None:
    """Name the shapes to which the routes refer."""
    for model in (NewTrace, ExportAnswer):
        schema = model.model_json_schema(ref_template=REF)
        document["components"]["schemas"] |= schema.pop("$defs", {}) | {model.__name__: schema}
