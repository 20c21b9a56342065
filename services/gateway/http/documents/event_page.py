"""The AsyncAPI document as a page for people: plain HTML, which needs no script and so none of another host's."""

from base64 import b64encode
from collections.abc import Iterable
from hashlib import sha256
from html import escape

from services.gateway.http.requests.fields import Json

STYLE = """
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 80rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; margin-bottom: 2rem; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem; border-bottom: 1px solid #ccc; }
td { overflow-wrap: anywhere; }
"""
POLICY = (
    f"default-src 'none'; style-src 'sha256-{b64encode(sha256(STYLE.encode()).digest()).decode()}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def event_page(document: Json) -> str:
    """Show who sends and who receives what, and the fields of each body."""
    info = document["info"]
    operations = (_operation(document, name) for name in document["operations"])
    schemas = (_schema(name, schema) for name, schema in sorted(document["components"]["schemas"].items()))
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(info["title"])}</title>'
        f"<style>{STYLE}</style></head><body><h1>{escape(info['title'])}</h1><p>{escape(info.get('description', ''))} "
        'Programs read it as <a href="events.json">AsyncAPI</a>.</p>'
        f"<h2>Who sends, who receives</h2>{_table(('operation', '', 'routing key', 'body', 'what'), operations)}"
        f"<h2>Bodies</h2>{''.join(schemas)}</body></html>"
    )


def _operation(document: Json, name: str) -> tuple[str, ...]:
    operation = document["operations"][name]
    channel = document["channels"][name]
    message = document["components"]["messages"][_last(next(iter(channel["messages"].values())))]
    body = _type(message["payload"])
    return (
        escape(name),
        escape(operation["action"]),
        escape(channel.get("address") or ""),
        body,
        escape(channel["description"]),
    )


def _schema(name: str, schema: Json) -> str:
    required = schema.get("required", ())
    fields = (
        (escape(field), _type(about), "yes" if field in required else "", escape(about.get("description", "")))
        for field, about in schema.get("properties", {}).items()
    )
    table = (
        _table(("field", "type", "required", "what"), fields) if "properties" in schema else f"<p>{_type(schema)}</p>"
    )
    return f'<h3 id="{escape(name)}">{escape(name)}</h3><p>{escape(schema.get("description", ""))}</p>{table}'


def _type(schema: Json) -> str:
    """Name a schema's type, as HTML."""
    if "$ref" in schema:
        name = escape(_last(schema))
        return f'<a href="#{name}">{name}</a>'
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return " or ".join(map(_type, schema[choice]))
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if "enum" in schema:
        return " or ".join(escape(str(value)) for value in schema["enum"])
    return escape(str(schema.get("format") or schema.get("type") or schema.get("const") or "anything"))


def _last(reference: Json) -> str:
    return str(reference["$ref"]).rpartition("/")[2]


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    head = "".join(f"<th>{text}</th>" for text in heads)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"
