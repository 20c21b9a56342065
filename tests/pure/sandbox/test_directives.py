"""What a user message may order the simulated model to do."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.sandbox.model.directives import CallTool, Pacing, Say, read_orders
from deploy.sandbox.model.errors import UnreadableDirectiveError


def test_text_without_directives_orders_nothing() -> None:
    orders = read_orders("KTEB to KVNY [today], please")

    assert orders.steps == ()
    assert orders.pacing == Pacing()
    assert orders.rest == "KTEB to KVNY [today], please"


def test_directives_combine() -> None:
    orders = read_orders("so: [echo a [nested] b] then [chunks 7][slow 5] [first 6] [cut 3] over")

    assert orders.steps == (Say("a [nested] b"),)
    assert orders.pacing == Pacing(chunks=7, slow_ms=5, first_ms=6, cut=3)
    assert orders.rest == "so: then over"


def test_what_services_do_can_be_ordered() -> None:
    orders = read_orders("[think so [x]][refuse no][finish content_filter] [unmetered][fail 2][comments 3] rest")

    assert (orders.thought, orders.refusal, orders.rest) == ("so [x]", "no", "rest")
    assert orders.pacing == Pacing(finish="content_filter", is_metered=False, fail=2, comments=3)


def test_echo_with_unmatched_bracket_ends_at_the_first_closing_one() -> None:
    assert read_orders("[echo :[ ] and on").steps == (Say(":[ "),)


@given(st.text())
def test_raw_gives_any_string_exactly(text: str) -> None:
    orders = read_orders(f"[raw {json.dumps(text)}]")

    assert orders.steps == (Say(text),)
    assert orders.rest == ""


def test_raw_gives_a_lone_surrogate() -> None:
    assert read_orders(r'[raw "\ud800"]').steps == (Say("\ud800"),)


def test_tool_keeps_its_arguments_as_written() -> None:
    orders = read_orders('[tool create_trip {"a": [1,"]"],  "b": {}}] [tool look]')

    assert orders.steps == (CallTool("create_trip", '{"a": [1,"]"],  "b": {}}'), CallTool("look", "{}"))


def test_tool_with_a_json_string_sends_broken_arguments() -> None:
    assert read_orders(r'[tool look "{\"a\": "]').steps == (CallTool("look", '{"a": '),)


@pytest.mark.parametrize(
    "text",
    [
        "[chunks]",
        "[chunks 0]",
        "[chunks 10001]",
        "[chunks many]",
        "[slow -1]",
        "[error 200]",
        "[error 600]",
        "[echo open",
        "[recall all]",
        "[raw 5]",
        '[raw "open]',
        "[tool]",
        "[tool look {]",
        "[tool look {} {}]",
        "[tool look " + "[" * 100_000 + "]",
        "[rounds 0]",
        "[think open",
        "[refuse open",
        "[finish]",
        "[finish two words]",
        "[unmetered 1]",
        "[fail]",
        "[comments x]",
    ],
)
def test_directive_with_a_wrong_argument_is_named(text: str) -> None:
    with pytest.raises(
        UnreadableDirectiveError,
        match=r"\[(chunks|slow|error|echo|recall|raw|tool|rounds|think|refuse|finish|unmetered|fail|comments)",
    ):
        read_orders(text)


@given(st.text(alphabet='[]{}"\\ echotlrawcuntsmed019', max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(UnreadableDirectiveError):
        read_orders(text)
