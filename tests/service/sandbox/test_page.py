"""The page behind a deep link: what a person in Avinode sees and does."""

from typing import Any

import pytest

from tests.dates import FLIGHT_DAY
from tests.sandbox_client import SEGMENT, TRIP, Avinode, Receiver


class Page:
    """A person at the deep link's page, without a browser."""

    def __init__(self, avinode: Avinode, trip_id: str) -> None:
        self._avinode = avinode
        self._url = f"{avinode.url}/ui/trips/buying/{trip_id}"

    async def look(self) -> str:
        async with self._avinode.http.get(self._url) as response:
            assert response.status == 200
            return await response.text()

    async def post(self, path: str, **fields: Any) -> tuple[int, str]:
        """Submit a form, and follow where it leads."""
        async with self._avinode.http.post(f"{self._avinode.url}{path}", data=fields) as response:
            return response.status, await response.text()


@pytest.fixture
async def page(avinode: Avinode) -> Page:
    return Page(avinode, (await avinode.rest("POST", "/api/trips", TRIP)).body["data"]["id"])


async def first_rfq(avinode: Avinode) -> str:
    rfq_id: str = (await avinode.call("GET", "/sim/trips")).body["trips"][0]["rfqs"][0]["id"]
    return rfq_id


async def test_page_says_it_is_simulated_and_offers_operators(page: Page) -> None:
    html = await page.look()

    assert "Simulated Avinode" in html
    assert f"KTEB to KPBI on {FLIGHT_DAY}, 6 passengers" in html
    assert html.count('type="checkbox"') == 6
    assert '<html lang="en">' in html


async def test_person_asks_operators_and_answers_as_each(avinode: Avinode, page: Page, receiver: Receiver) -> None:
    trip_id = (await avinode.call("GET", "/sim/trips")).body["trips"][0]["id"]
    async with avinode.http.post(
        f"{avinode.url}/ui/trips/buying/{trip_id}/rfqs", data=[("operator", "0"), ("operator", "2")]
    ) as response:
        assert str(response.url) == f"{avinode.url}/ui/trips/buying/{trip_id}"
        assert "Simulated Operator C" in await response.text()
    rfq = await first_rfq(avinode)
    _, quoted = await page.post(f"/ui/rfqs/{rfq}/quote", price="33500", currency="USD", lift="")
    _, chatted = await page.post(f"/ui/rfqs/{rfq}/chat", message="<script>alert(1)</script>")
    _, declined = await page.post(f"/ui/rfqs/{rfq}/decline", reason="CABOTAGE")
    _, widened = await page.post(f"/ui/rfqs/{rfq}/lifts")
    _, canceled = await page.post(f"/ui/rfqs/{rfq}/cancel")

    assert "quotes 33,500 USD" in quoted
    assert "<script>" not in chatted
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in chatted
    assert "declines (CABOTAGE)" in declined
    assert "SIM-A02" in widened
    assert "Simulated Operator A (canceled)" in canceled
    assert [body["type"] for body in await receiver.bodies(7)] == [
        "rfqs",
        "rfqs",
        "tripmsgs",
        "tripmsgs",
        "tripmsgs",
        "rfqs",
        "rfqs",
    ]


async def test_page_escapes_what_callers_sent(avinode: Avinode) -> None:
    segment = {**SEGMENT, "startAirport": {"icao": "<b>&'\""}}
    trip = (await avinode.rest("POST", "/api/trips", {**TRIP, "segments": [segment]})).body["data"]

    html = await Page(avinode, trip["id"]).look()

    assert "<b>" not in html
    assert "&lt;b&gt;&amp;&#x27;&quot;" in html


@pytest.mark.parametrize(
    ("path", "fields", "status"),
    [
        ("/ui/rfqs/{rfq}/quote", {"price": "lots"}, 422),
        ("/ui/rfqs/{rfq}/quote", {}, 422),
        ("/ui/rfqs/{rfq}/chat", {"message": ""}, 422),
        ("/ui/rfqs/arfq-1/chat", {"message": "x"}, 404),
        ("/ui/trips/buying/{trip}/rfqs", {"operator": "0"}, 409),
        ("/ui/trips/buying/{trip}/rfqs", {"operator": "-1"}, 422),
        ("/ui/trips/buying/<i>/rfqs", {}, 404),
    ],
)
async def test_form_that_cannot_be_taken_gets_a_page_with_the_reason(
    avinode: Avinode, page: Page, path: str, fields: dict[str, str], status: int
) -> None:
    code, [rfq] = await avinode.trip_with_rfqs()
    answered, html = await page.post(path.format(trip=code, rfq=rfq), **fields)

    assert answered == status
    assert 'role="alert"' in html
    assert "<i>" not in html


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"", "multipart/form-data", 422),
        (b"--x\r\nbroken", "multipart/form-data; boundary=x", 422),
        (b"message=\xff%ff", "application/x-www-form-urlencoded", 200),
        (b"message=a", "application/x-www-form-urlencoded; charset=none", 200),
        (b"a=1&" * 200 + b"message=x", "application/x-www-form-urlencoded", 422),
        (b"message=" + b"a" * 2_000_000, "application/x-www-form-urlencoded", 413),
    ],
)
async def test_broken_forms_are_no_server_error(avinode: Avinode, body: bytes, content_type: str, status: int) -> None:
    _, [rfq] = await avinode.trip_with_rfqs()
    url = f"{avinode.url}/ui/rfqs/{rfq}/chat"
    async with avinode.http.post(url, data=body, headers={"Content-Type": content_type}) as response:
        assert response.status == status


async def test_search_link_leads_to_the_trips_page(avinode: Avinode) -> None:
    trip = (await avinode.rest("POST", "/api/trips", TRIP)).body["data"]
    async with avinode.http.get(trip["actions"]["searchInAvinode"]["href"]) as response:
        assert str(response.url) == trip["actions"]["viewInAvinode"]["href"]
    async with avinode.http.get(avinode.url) as response:
        assert trip["tripId"] in await response.text()


async def test_trip_canceled_on_the_page_asks_no_more(avinode: Avinode, page: Page) -> None:
    trip_id = (await avinode.call("GET", "/sim/trips")).body["trips"][0]["id"]
    _, html = await page.post(f"/ui/trips/buying/{trip_id}/cancel")

    assert "Canceled." in html
    assert "<form" not in html
    assert (await page.post(f"/ui/trips/buying/{trip_id}/rfqs", operator="0"))[0] == 409
