"""The page behind a deep link, in a real browser: by keyboard alone, read out, and on a telephone."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.installed.browser import FOCUSED, Tab, browsing
from tests.sandbox_client import SEGMENT, TRIP, Avinode, running

NARROW = 360  # CSS pixels, of most small telephones
# What is wider than the screen: one may scroll a table by itself, and never the page sideways.
OVERFLOWING = "document.documentElement.scrollWidth > innerWidth || document.body.scrollWidth > innerWidth"
SQUEEZED = """
[...document.querySelectorAll('h1, h2, caption, td, legend, label')]
    .filter(each => each.getBoundingClientRect().height > 12 * 24).map(each => each.textContent)
"""  # words that stand letter below letter
TARGETS = """
[...document.querySelectorAll('a:not(p a), button, select, input:not([type=checkbox]), label:has(input)')]
    .map(each => [each.textContent.trim() || each.name, each.getBoundingClientRect().height])
    .filter(each => each[1] < 24)
"""  # 24 is the least size of what is touched, by WCAG 2.2, AA, but for links within a sentence
LONG = "longest" * 300


@pytest.fixture(scope="module")
async def tab(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Tab]:
    async with browsing(tmp_path_factory.mktemp("browser")) as tab:
        await tab.resize(NARROW)
        yield tab


@pytest.fixture
async def avinode() -> AsyncIterator[Avinode]:
    async with running() as avinode:
        yield avinode


async def trip_of(avinode: Avinode, **changes: Any) -> dict[str, Any]:
    trip: dict[str, Any] = (await avinode.rest("POST", "/api/trips", {**TRIP, **changes})).body["data"]
    return trip


async def walk(tab: Tab) -> list[dict[str, Any]]:
    """Press Tab until the page has been gone through once; return what had the focus, in that order."""
    met: list[dict[str, Any]] = []
    while True:
        await tab.press("Tab")
        focused = await tab.evaluate(FOCUSED)
        if focused["tag"] == "BODY" or len(met) > 200:
            return met
        met.append(focused)


async def go_to(tab: Tab, tag: str, text: str = "") -> None:
    """Press Tab as far as a control with this text."""
    for _ in range(100):
        await tab.press("Tab")
        focused = await tab.evaluate(FOCUSED)
        if focused["tag"] == tag and text in (focused["text"], ""):
            return
    raise AssertionError(f"no {tag} {text} by keyboard")


async def test_a_person_asks_operators_and_answers_as_one_by_keyboard_alone(tab: Tab, avinode: Avinode) -> None:
    trip = await trip_of(avinode)
    await tab.open(trip["actions"]["searchInAvinode"]["href"])
    await go_to(tab, "INPUT")
    await tab.press(" ")
    await tab.press("Tab")
    await tab.press(" ")
    await go_to(tab, "BUTTON", "Send RFQs")
    await tab.press("Enter", leads_on=True)
    assert await tab.evaluate("[...document.querySelectorAll('h2')].map(each => each.textContent)") == [
        "Simulated Operator A",
        "Simulated Operator B",
    ]
    await go_to(tab, "SELECT")
    await tab.press("Tab")
    await tab.type("33500")
    await tab.press("Enter", leads_on=True)
    await go_to(tab, "BUTTON", "Decline")
    await tab.press(" ", leads_on=True)
    assert (await tab.evaluate("document.body.innerText")).count("33,500 USD") >= 1
    shown = (await avinode.call("GET", "/sim/trips")).body["trips"][0]
    assert len(shown["rfqs"]) == 2


async def test_everything_is_reached_in_its_order_seen_and_named(tab: Tab, avinode: Avinode) -> None:
    trip = await trip_of(avinode)
    sent = await avinode.act(f"trips/{trip['id']}/rfqs", {"operators": 2})
    await avinode.act(f"rfqs/{sent['rfqs'][0]['id']}/quote", {"price": 33500})
    await tab.open(trip["actions"]["viewInAvinode"]["href"])
    controls = await tab.controls()
    met = await walk(tab)
    assert len(met) >= 20
    assert len(met) == len(controls), controls
    assert [(each["top"], each["left"]) for each in met] == sorted((each["top"], each["left"]) for each in met)
    assert [each for each in met if not (each["is_outlined"] and each["is_shown"])] == []
    assert [control for control in controls if not control.name.strip()] == []
    assert await tab.evaluate("document.documentElement.lang") == "en"


async def test_on_a_narrow_telephone_nothing_scrolls_sideways_and_all_is_large_enough(
    tab: Tab, avinode: Avinode
) -> None:
    trip = await trip_of(avinode, segments=[SEGMENT] * 3)
    sent = await avinode.act(f"trips/{trip['id']}/rfqs", {"operators": 3})
    first, second, third = (rfq["id"] for rfq in sent["rfqs"])
    await avinode.act(f"rfqs/{first}/quote", {"price": 999_999_999.99, "currency": "USD"})
    await avinode.act(f"rfqs/{second}/chat", {"message": LONG})
    await avinode.act(f"rfqs/{third}/decline", {"reason": "AIRCRAFT_NOT_AVAILABLE"})
    await avinode.act(f"rfqs/{first}/lifts")
    for path in (
        trip["actions"]["viewInAvinode"]["href"],
        f"{avinode.url}/ui/trips",
        f"{avinode.url}/ui/trips/buying/x",
    ):
        await tab.open(path)
        assert await tab.evaluate("innerWidth") == NARROW, path
        assert not await tab.evaluate(OVERFLOWING), path
        assert await tab.evaluate(SQUEEZED) == [], path
        assert await tab.evaluate(TARGETS) == [], path
