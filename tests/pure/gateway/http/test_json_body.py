"""What a JSON body may hold."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.http.requests.json_body import MAX_DEPTH, count_nodes, read_json, require_json
from shared.errors import Invalid, UnsupportedMedia

SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text().filter(lambda text: "\x00" not in text)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(SCALARS.filter(lambda v: isinstance(v, str)), inner)
)


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


@given(JSON)
def test_what_can_be_stored_is_read_as_it_is(value: Any) -> None:
    assert read_json(orjson.dumps(value)) == value


@given(st.binary())
def test_any_body_is_read_or_refused(body: bytes) -> None:
    try:
        read_json(body)
    except Invalid:
        return
    orjson.loads(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"a": 1} x',
        b"\xff\xfe",
        b'{"a": "\xff"}',
        b'{"a": NaN}',
        rb'{"a": "\ud800"}',
        rb'{"a": "\u0000"}',
        rb'{"a\u0000": 1}',
        rb'{"a": [{"b": "x\u0000"}]}',
        nested(MAX_DEPTH + 1),
        nested(1000),
        nested(10_000),
        b"[" * 500_000,
        b'{"a":' * 10_000,
    ],
)
def test_what_can_not_be_stored_is_refused(body: bytes) -> None:
    with pytest.raises(Invalid):
        read_json(body)


def test_an_escaped_backslash_before_u0000_is_only_text() -> None:
    assert read_json(rb'{"a": "\\u0000"}') == {"a": "\\u0000"}


def test_nesting_is_allowed_up_to_the_limit() -> None:
    assert read_json(nested(MAX_DEPTH)) is not None
    assert len(read_json(b"[" + b"[]," * 500 + b"[]]")) == 501


JSON_TYPES = ["application/json", "Application/JSON; charset=utf-8", "application/ld+json"]
OTHER_TYPES = [None, "", "text/plain", "text/plain;charset=UTF-8", "application/x-www-form-urlencoded", "json"]
HOST = {"host": "app.example"}


def typed(content_type: str | None, headers: dict[str, str]) -> dict[str, str]:
    return {**HOST, **headers, **({} if content_type is None else {"content-type": content_type})}


@pytest.mark.parametrize("content_type", JSON_TYPES)
def test_json_is_told_by_its_content_type(content_type: str) -> None:
    require_json(typed(content_type, {}))
    require_json(typed(content_type, {"sec-fetch-site": "cross-site"}))  # who may write is another question


@pytest.mark.parametrize("content_type", OTHER_TYPES)
@pytest.mark.parametrize(
    "proof",
    [
        {"authorization": "Bearer x"},
        {"authorization": "bearer x", "sec-fetch-site": "cross-site", "origin": "https://evil.example"},
        {"sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "same-origin", "origin": "https://app.example"},
        {"origin": "https://app.example"},
        {"origin": "http://app.example"},
    ],
)
def test_whatever_its_type_a_body_that_no_other_site_can_have_sent_is_json(
    content_type: str | None, proof: dict[str, str]
) -> None:
    require_json(typed(content_type, proof))


@pytest.mark.parametrize("content_type", OTHER_TYPES)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Basic eDp5"},  # which a browser sends along by itself, as it does a cookie
        {"sec-fetch-site": "none"},
        {"sec-fetch-site": "same-site", "origin": "https://sub.app.example"},
        {"sec-fetch-site": "cross-site", "origin": "https://app.example"},
        {"sec-fetch-site": ""},
        {"origin": "https://evil.example"},
        {"origin": "https://app.example.evil.example"},
        {"origin": "https://app.example:8443"},
        {"origin": "null"},
        {"origin": "app.example"},
        {"origin": "app://app.example"},
        {"origin": "http://", "host": ""},
    ],
)
def test_a_body_that_another_sites_form_could_have_sent_must_say_that_it_is_json(
    content_type: str | None, headers: dict[str, str]
) -> None:
    with pytest.raises(UnsupportedMedia):
        require_json(typed(content_type, headers))


ODD_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.text(',:[{"\\a', max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('"\\,a', max_size=3), inner, max_size=4),
    max_leaves=20,
)


def nodes_of(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + sum(1 + nodes_of(each) for each in value.values())
    return 1 + sum(map(nodes_of, value)) if isinstance(value, list) else 1


@given(ODD_JSON)
def test_no_fewer_values_are_counted_than_there_are_and_not_many_more(value: Any) -> None:
    counted = count_nodes(orjson.dumps(value), 1000)
    assert nodes_of(value) <= counted <= 2 * nodes_of(value)


def test_a_body_of_too_many_values_is_refused_unparsed() -> None:
    few = b'{"a": "' + b"[,:" * 1000 + b'", "b": [' + b",".join([b"1"] * 10) + b"]}"
    assert read_json(few, 50)["b"] == [1] * 10
    for many in (b"[" + b",".join([b"1"] * 60) + b"]", b"[" + b",".join([b'"a"'] * 60) + b"]", b"[" * 60, b'"' * 200):
        with pytest.raises(Invalid, match="more than 50 keys and values"):
            read_json(many, 50)
