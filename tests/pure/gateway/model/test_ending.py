"""How an answer ended, from what was seen of it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.model.ending import REASON_OF, Seen, ending_of

SEEN = st.builds(
    Seen,
    said=st.booleans(),
    calls_tool=st.booleans(),
    tool=st.none() | st.just("f"),
    finish_reason=st.none() | st.sampled_from([*REASON_OF, "stop", "STOP", "unheard of", "safety: x"]),
    is_done=st.booleans(),
    problem=st.none() | st.just("it broke"),
)


@given(SEEN)
def test_every_ending_is_one_that_callers_know(seen: Seen) -> None:
    ending = ending_of(seen)
    assert ending.finish_reason in ("stop", "length", "content_filter", "tool_calls", "error")
    assert (ending.problem is None) == (ending.status == "complete")
    assert (ending.status == "failed") == (not seen.said)
    if ending.status == "complete":
        assert ending.finish_reason in ("stop", "length", "content_filter")


@given(SEEN)
def test_what_comes_after_the_finish_reason_does_not_demote_an_answer(seen: Seen) -> None:
    before = ending_of(replace(seen, problem=None))
    if seen.finish_reason and before.status == "complete":
        assert ending_of(replace(seen, problem="a late error", is_done=False)) == before


@pytest.mark.parametrize(
    ("seen", "status", "reason"),
    [
        (Seen(said=True, finish_reason="stop"), "complete", "stop"),
        (Seen(said=True, finish_reason="MAX_TOKENS"), "complete", "length"),
        (Seen(said=True, is_done=True), "complete", "stop"),
        (Seen(said=True), "interrupted", "error"),
        (Seen(said=True, finish_reason="error"), "interrupted", "error"),
        (Seen(said=True, calls_tool=True), "interrupted", "error"),
        (Seen(said=True, calls_tool=True, is_done=True), "interrupted", "tool_calls"),
        (Seen(finish_reason="length"), "failed", "length"),
        (Seen(), "failed", "error"),
    ],
)
def test_the_endings(seen: Seen, status: str, reason: str) -> None:
    ending = ending_of(seen)
    assert (ending.status, ending.finish_reason) == (status, reason)
