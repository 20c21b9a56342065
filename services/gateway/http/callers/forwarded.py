"""What proxies say of whom they speak for: `X-Forwarded-For`, or `Forwarded` (RFC 7239). Pure.

Each proxy adds to the end of what it was given, and a caller may have begun with anything. So both are read from the
end, one hop at a time: whatever a caller has left open, such as a quote, is further left than what proxies wrote.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - RFC 9110's word for it
# Proxies write addresses with a port, or IPv6 ones, without the quotes that they should have.
_PAIR = re.compile(rf'\s*({_TOKEN})=(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]+))\s*')


class Hop(NamedTuple):
    """One proxy's word."""

    heard: str  # from whom, as it spells it; empty where it does not say
    scheme: str | None = None  # by which it heard them


def forwarded_for(values: Sequence[bytes]) -> Iterator[Hop]:
    """Read `X-Forwarded-For`, the nearest proxy first."""
    for value in reversed(values):
        hops = (hop.strip() for hop in reversed(value.decode("latin-1").split(",")))
        yield from (Hop(hop) for hop in hops if hop)


def forwarded(values: Sequence[bytes]) -> Iterator[Hop]:
    """Read `Forwarded`, the nearest proxy first; of what can't be read, and of an obfuscated name, nobody was heard."""
    for value in reversed(values):
        yield from (_hop(element) for element in _elements(value.decode("latin-1")) if element.strip())


def _elements(value: str) -> Iterator[str]:
    """Cut at commas that are in no quotes, from the end."""
    end, is_quoted = len(value), False
    for index in range(len(value) - 1, -1, -1):
        if value[index] == '"':
            is_quoted = not is_quoted
        elif value[index] == "," and not is_quoted:
            yield value[index + 1 : end]
            end = index
    yield value[:end]


def _hop(element: str) -> Hop:
    said: dict[str, str] = {}
    for pair in _cut(element):
        found = _PAIR.fullmatch(pair)
        if found is None or found[1].lower() in said:
            return Hop("")
        said[found[1].lower()] = re.sub(r"\\(.)", r"\1", found[2]) if found[2] is not None else found[3]
    return Hop(said.get("for", ""), said.get("proto"))


def _cut(element: str) -> list[str]:
    """Cut at semicolons that are in no quotes."""
    return re.findall(r'(?:[^;"]|"(?:[^"\\]|\\.)*"?)+', element)
