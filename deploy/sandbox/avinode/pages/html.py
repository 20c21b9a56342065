"""HTML that is safe by its type: whatever is not already `Html` is escaped."""

from html import escape

_VOID = frozenset({"input", "meta"})


class Html(str):
    """Text that is HTML. Only this module makes it."""

    __slots__ = ()


def tag(name: str, /, *children: str | Html, **attributes: str | bool) -> Html:
    """Build an element. `class_` and `for_` lose their underscore; True is an attribute without value."""
    shown = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID:
        return Html(f"<{name}{shown}>")
    return Html(f"<{name}{shown}>{joined(*children)}</{name}>")


def joined(*children: str | Html) -> Html:
    """Put pieces side by side."""
    return Html("".join(child if isinstance(child, Html) else escape(child) for child in children))


def document(title: str, style: str, *body: str | Html) -> str:
    """Build a whole page. The style must be our own text: it is the one thing not escaped."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("style", Html(style)),
    )
    return "<!doctype html>" + tag("html", head, tag("body", *body), lang="en")


def _attribute(key: str, value: str | bool) -> str:
    if value is False:
        return ""
    name = key.removesuffix("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'
