"""What the model is told of our tools, and what they take of it."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, cast

import pytest

from services.gateway.account.identity import Caller
from services.gateway.helpers.configured import read_helpers
from services.gateway.model.configured.catalog import read_catalog
from services.gateway.tools.names import TOOL_NAMES
from services.gateway.tools.proposal_tools import money
from services.gateway.tools.toolkit import SIGN_IN, Toolkit, TurnTools
from services.gateway.trips.proposals.proposing import Proposing
from services.gateway.trips.routes import Trips
from services.gateway.turns.offered import UnusableCall
from shared.settings import Settings

TOOLKIT = Toolkit(cast(Trips, None), cast(Proposing, None))
ANN = Caller("ann", None, "user", None, ("ann",))
VISITOR = Caller("visitor-1", "visitor-1", "user", None, ("visitor-1",))
TRIP = {"segments": [{"from": "KTEB", "to": "KPBI", "date": "2099-01-02", "time": None}], "pax": 4}
# What OpenAI's strict mode knows of JSON Schema: https://platform.openai.com/docs/guides/structured-outputs
KNOWN = {
    *(
        "type",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "anyOf",
        "enum",
        "$ref",
        "$defs",
        "description",
    ),
    *("pattern", "format", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minItems"),
    *("maxItems", "minLength", "maxLength"),
}


def str_of(value: Any) -> str:
    return repr(value)[:20]


def tools(caller: Caller = ANN, *, visitor_trips: bool = False) -> TurnTools:
    return TurnTools(caller, caller.user_id, TOOLKIT.tools, None, visitor_trips=visitor_trips)


def schemas(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield each schema within a schema."""
    if isinstance(schema, list):
        for each in schema:
            yield from schemas(each)
    elif isinstance(schema, dict):
        yield schema
        for name, value in schema.items():
            yield from schemas(list(value.values()) if name in ("properties", "$defs") else value)


def test_the_names_of_tools_are_those_of_the_tools() -> None:
    assert frozenset(TOOLKIT.tools) == TOOL_NAMES


def test_the_charter_helper_has_them_all() -> None:
    settings = Settings(_env_file=None)
    helpers = read_helpers(settings, read_catalog(settings), TOOL_NAMES)
    assert frozenset(helpers.instructed("charter").tools) == TOOL_NAMES


@pytest.mark.parametrize("name", sorted(TOOL_NAMES))
def test_the_model_is_told_of_each_as_openais_strict_mode_takes_it(name: str) -> None:
    function = TOOLKIT.tools[name].definition["function"]
    assert function["strict"] is True
    for schema in schemas(function["parameters"]):
        assert schema.keys() <= KNOWN, schema
        if schema.get("type") == "object":
            assert schema["additionalProperties"] is False
            assert schema["required"] == list(schema["properties"])


def test_what_the_model_has_nothing_to_say_of_is_null() -> None:
    assert tools().usable("create_trip", TRIP).asks
    assert not tools().usable("trip_status", {"trip": None}).asks
    assert not tools().usable("trip_status", {}).asks


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("create_trip", {}, "segments: Field required; pax: Field required"),
        ("create_trip", {**TRIP, "pax": 0}, "pax: "),
        ("create_trip", {**TRIP, "price": 1}, "price: Extra inputs are not permitted"),
        ("create_trip", {**TRIP, "segments": [{**TRIP["segments"][0], "date": "2001-01-01"}]}, "segments.0.date: "),  # type: ignore[index]
        ("create_trip", {**TRIP, "segments": [{**TRIP["segments"][0], "to": "KTEB"}]}, "segments.0.to: "),  # type: ignore[index]
        ("trip_status", {"trip": "no such thing"}, "trip"),
        ("trip_status", {"trip": 5}, "trip: "),
        ("prepare_proposal", {"quote_ids": []}, "quote_ids: "),
        ("prepare_proposal", {"quote_ids": ["q"], "margin_percent": -1}, "margin_percent: "),
        ("trip_status", ["a"], "arguments: "),
        ("cancel_trip", {}, "there is no such tool; there are: create_trip, "),
    ],
)
def test_arguments_that_are_none_of_a_tools_are_said(name: str, arguments: Any, said: str) -> None:
    with pytest.raises(UnusableCall) as refused:
        tools().usable(name, arguments)
    assert refused.value.detail.startswith(said)


@pytest.mark.parametrize("odd", [5, 5.5, 1e300, True, "", "x" * 100_000, [], [5], {}, {"a": 5}], ids=str_of)
@pytest.mark.parametrize("name", sorted(TOOL_NAMES))
def test_whatever_a_model_says_of_an_argument_is_one_or_is_refused(name: str, odd: Any) -> None:
    """An error that is nobody's would end the turn."""
    known = tools()
    right: dict[str, Any] = (
        {"quote_ids": ["q"]} if name == "prepare_proposal" else TRIP if name == "create_trip" else {}
    )
    flight = cast(list[dict[str, Any]], TRIP["segments"])[0]
    fields = TOOLKIT.tools[name].arguments.model_fields
    wrong = [{**right, field: odd} for field in fields]
    wrong += [{**right, field: [odd]} for field in fields]
    wrong += [{**right, "segments": [{**flight, field: odd}]} for field in flight] if name == "create_trip" else []
    for each in wrong:
        with suppress(UnusableCall):
            known.usable(name, each)


def test_a_visitor_is_told_to_sign_in_before_anything_is_asked() -> None:
    with pytest.raises(UnusableCall) as refused:
        tools(VISITOR).usable("create_trip", TRIP)
    assert refused.value.detail == SIGN_IN
    assert tools(VISITOR, visitor_trips=True).usable("create_trip", TRIP).asks
    assert tools(VISITOR).usable("trip_status", {}) is not None


@pytest.mark.parametrize(("cents", "spelled"), [(3350005, "33500.05"), (5, "0.05"), (0, "0.00"), (None, None)])
def test_amounts_are_spelled_exactly(cents: int | None, spelled: str | None) -> None:
    assert money(cents) == spelled
