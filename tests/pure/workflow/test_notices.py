"""A notice is a pointer: what it may point at, and what becomes of one that nobody can use."""

import gzip
import json
import zlib
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.workflow.avinode.notices import LONGEST_HREF, Notice, point, read_notice, trip_reference

BASE = "https://sandbox.avinode.com/api"


def notice(href: object, **fields: object) -> Notice:
    return read_notice(json.dumps({"id": "arfq-1", "href": href, "type": "rfqs", **fields}).encode(), BASE)


def test_the_documented_notice_is_due() -> None:
    read = notice(f"{BASE}/rfqs/arfq-12345678", tripId="A1B2C3")
    assert read == Notice("due", None, f"{BASE}/rfqs/arfq-12345678", "rfqs", "arfq-12345678", "A1B2C3")


def test_the_older_notice_without_a_trip_is_due() -> None:
    read = notice(f"{BASE}/tripmsgs/asellermsg-1000000007")
    assert (read.state, read.kind, read.trip_code) == ("due", "tripmsgs", None)


def test_unknown_fields_and_odd_types_are_ignored() -> None:
    assert notice(f"{BASE}/rfqs/arfq-1", futureField={"deep": 1}, tripId=7, id=None, type=[]).state == "due"


def test_a_query_is_kept() -> None:
    assert notice(f"{BASE}/rfqs/arfq-1?quotedetails=true").href == f"{BASE}/rfqs/arfq-1?quotedetails=true"


def test_what_says_nothing_about_a_trip_is_ignored() -> None:
    read = notice(f"{BASE}/emptylegs/aemptyleg-1")
    assert (read.state, read.error) == ("ignored", "no use for emptylegs")


@pytest.mark.parametrize(
    "href",
    [
        "https://evil.example/api/rfqs/arfq-1",
        "http://sandbox.avinode.com/api/rfqs/arfq-1",
        "https://sandbox.avinode.com:8443/api/rfqs/arfq-1",
        "https://sandbox.avinode.com.evil.example/api/rfqs/arfq-1",
        "https://user@sandbox.avinode.com/api/rfqs/arfq-1",
        "https://sandbox.avinode.com@evil.example/api/rfqs/arfq-1",
        "https://sandbox.avinode.com\\@evil.example/api/rfqs/arfq-1",
        "https://evil.example\\.sandbox.avinode.com/api/rfqs/arfq-1",
        "//sandbox.avinode.com/api/rfqs/arfq-1",
        "https://sandbox.avinode.com/apix/rfqs/arfq-1",
        "https://sandbox.avinode.com/rfqs/arfq-1",
        "https://sandbox.avinode.com/api/../oauth/arfq-1",
        "https://sandbox.avinode.com/api/rfqs/%2e%2e/arfq-1",
        "https://sandbox.avinode.com/api/rfqs/arfq-1/cancel",
        "https://sandbox.avinode.com/api//rfqs/arfq-1",
        "https://sandbox.avinode.com/api/webhooks/settings",
        "https://sandbox.avinode.com/api/rfqs/arfq-1#fragment",
        "https://sandbox.avinode.com/api/rfqs/arfq-1?next=https://evil.example",
        "https://sandbox.avinode.com/api/rfqs/arfq-1\n",
        "https://sandbox.avinode.com/api/rfqs/\tarfq-1",
        "https://sandbox.avinode.com/api/rfqs/arfq-\uff11",
        "https://sandbox.avinode.com:port/api/rfqs/arfq-1",
        "https://sandbox.avinode.com:99999/api/rfqs/arfq-1",
        "https://[sandbox.avinode.com/api/rfqs/arfq-1",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "rfqs/arfq-1",
        "",
    ],
)
def test_a_foreign_or_crooked_href_is_refused(href: str) -> None:
    read = notice(href, tripId="A1B2C3")
    assert read.state == "refused"
    assert (read.kind, read.avinode_id) == (None, None)
    assert read.href == href


@pytest.mark.parametrize(
    "href", ["HTTPS://sandbox.avinode.com/api/rfqs/arfq-1", f"{BASE.replace('.com', '.com:443')}/rfqs/arfq-1"]
)
def test_another_spelling_of_the_same_place_is_the_same_place(href: str) -> None:
    assert notice(href).href == f"{BASE}/rfqs/arfq-1"


POINTING = f'{{"href": "{BASE}/rfqs/arfq-1", "note": "NOTE"}}'


@pytest.mark.parametrize(
    "payload",
    [
        b"\xef\xbb\xbf" + POINTING.encode(),
        POINTING.replace("NOTE", "\\ud800").encode(),
        POINTING.replace("NOTE", "\ud800").encode(errors="surrogatepass"),
        POINTING.replace("NOTE", "caf\xe9").encode("latin-1"),
        POINTING.replace('"NOTE"', "NaN").encode(),
        POINTING.replace("NOTE", "a\nb").encode(),
        POINTING.encode("utf-16"),
        POINTING.encode("utf-16-le"),
        POINTING.encode("utf-32"),
        gzip.compress(POINTING.encode(), mtime=0),
    ],
)
def test_an_oddly_written_notice_is_due_all_the_same(payload: bytes) -> None:
    assert read_notice(payload, BASE, most=10_000).avinode_id == "arfq-1"


def test_a_deflated_notice_is_due_where_its_header_says_so() -> None:
    assert read_notice(zlib.compress(POINTING.encode()), BASE, encoding="Deflate", most=1000).state == "due"


def test_a_notice_that_a_proxy_has_inflated_already_is_due_whatever_its_header_says() -> None:
    assert read_notice(POINTING.encode(), BASE, encoding="gzip", most=1000).state == "due"


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (b"", "not JSON"),
        (b"not json", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (gzip.compress(POINTING.encode(), mtime=0)[:-9], "cut off in the middle"),
        (b"\x1f\x8b nothing of the kind", "not in the encoding that it names"),
        (gzip.compress(b" " * 10_000_000 + POINTING.encode(), mtime=0), "more than 1000 bytes when inflated"),
    ],
)
def test_a_notice_that_cannot_be_read_is_kept_with_its_reason(payload: bytes, error: str) -> None:
    assert read_notice(payload, BASE, most=1000) == Notice("unreadable", error)


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (b"[]", "not a JSON object"),
        (b'"https://sandbox.avinode.com/api/rfqs/arfq-1"', "not a JSON object"),
        (b"{}", "no href"),
        (b'{"href": null}', "no href"),
        (b'{"href": ["x"]}', "no href"),
    ],
)
def test_a_notice_that_points_nowhere_is_refused_with_its_reason(payload: bytes, error: str) -> None:
    assert read_notice(payload, BASE, most=1000) == Notice("refused", error)


def test_a_refused_href_with_half_a_character_can_be_stored() -> None:
    read = read_notice(b'{"href": "\\ud800"}', BASE)
    assert (read.state, read.href) == ("refused", "?")


def test_a_refused_href_can_be_stored() -> None:
    assert notice("https://evil.example/\x00" + "x" * 5000).href == "https://evil.example/" + "x" * 478


def test_an_href_too_long_for_an_index_is_refused_with_its_reason() -> None:
    href = f"{BASE}/rfqs/arfq-1?x="
    assert notice(href.ljust(LONGEST_HREF, "1")).state == "due"
    read = notice(href.ljust(LONGEST_HREF + 1, "1"), tripId="A1B2C3")
    assert (read.state, read.error) == ("refused", "the href is longer than 1000 characters")
    assert (read.href, read.trip_code) == (href.ljust(500, "1"), "A1B2C3")


@pytest.mark.parametrize("reference", ["arfq-" + "1" * 31, "a" * 31 + "-1", "arfq-1-" + "x" * 61])
def test_an_id_too_long_to_be_one_is_refused(reference: str) -> None:
    assert notice(f"{BASE}/rfqs/{reference}").state == "refused"


@pytest.mark.parametrize("code", ["A" * 13, "atrip-" + "1" * 31])
def test_a_trip_name_too_long_to_be_one_is_no_name(code: str) -> None:
    read = notice(f"{BASE}/rfqs/arfq-1", tripId=code)
    assert (read.state, read.trip_code) == ("due", None)


@given(st.binary(max_size=200))
def test_no_body_breaks_the_reader(payload: bytes) -> None:
    assert read_notice(payload, BASE).state in ("refused", "unreadable")


hosts = st.sampled_from(["sandbox.avinode.com", "evil.example", "api", "rfqs", "arfq-1"])
pieces = st.one_of(hosts, st.sampled_from(["https:", "//", "%2f", "..", *"/\\@:?#;[]1\t"]))


@given(st.one_of(st.text(max_size=60), st.lists(pieces, max_size=14).map("".join)), st.sampled_from([BASE, BASE + "/"]))
def test_nothing_but_a_resource_below_the_base_url_is_ever_fetched(href: str, base: str) -> None:
    pointer = point(href, base)
    if pointer is not None:
        fetched: Any = urlsplit(pointer.href)
        assert (fetched.scheme, fetched.netloc, fetched.fragment) == ("https", "sandbox.avinode.com", "")
        assert fetched.path == f"/api/{pointer.kind}/{pointer.avinode_id}"


def test_a_port_is_part_of_the_base_url() -> None:
    assert point("http://localhost:8099/api/rfqs/arfq-1", "http://localhost:8099/api") is not None
    assert point("http://localhost:8098/api/rfqs/arfq-1", "http://localhost:8099/api") is None


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("atrip-64956150", "atrip-64956150"),
        (" ATRIP-64956150 ", "atrip-64956150"),
        ("a1b2c3", "A1B2C3"),
        ("A1B2C3", "A1B2C3"),
        ("arfq-1", None),
        ("atrip-", None),
        ("../x", None),
        ("", None),
        (None, None),
        (6, None),
    ],
)
def test_a_trip_has_one_spelling(text: object, reference: str | None) -> None:
    assert trip_reference(text) == reference
