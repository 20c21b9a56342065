"""What proves that a page of our own sends a request, and what proves that another one does."""

import pytest

from services.gateway.http.callers.origin import from_own_page


@pytest.mark.parametrize(
    ("headers", "own"),
    [
        ({}, None),
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "none"}, None),
        ({"sec-fetch-site": "none", "origin": "https://app.example"}, None),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "cross-site", "origin": "https://app.example"}, False),
        ({"sec-fetch-site": "same-origin", "origin": "http://localhost:3000"}, True),
        ({"origin": "https://app.example"}, True),
        ({"origin": "https://app.example:8443"}, False),
        ({"origin": "https://evil.example"}, False),
        ({"origin": "null"}, False),
        ({"origin": "app://app.example"}, False),
        ({"origin": "http://", "host": ""}, False),
        ({"origin": "https://["}, False),
    ],
)
def test_only_pages_of_our_own_origin_are_our_own(headers: dict[str, str], own: bool | None) -> None:
    assert from_own_page({"host": "app.example", **headers}) is own
