"""Of which sessions a gateway may know the end: those of which each turn is a client's message, and told of."""

from dataclasses import replace

import pytest

from services.gateway.sessions.messages.session_end import SessionEnd
from tests.pure.gateway.samples import glimpse, turn


@pytest.mark.parametrize(
    ("told", "has_turns", "is_known"),
    [([], False, True), ([True, True], False, True), ([True, False], False, False), ([True], True, False)],
)
def test_what_is_untold_or_may_be_copied_is_to_be_read(told: list[bool], has_turns: bool, is_known: bool) -> None:
    unstored = [replace(glimpse(turn()), told=each) for each in told]
    end = SessionEnd("u1", "s1", unstored, None, None, None, has_turns=has_turns)
    assert end.is_known is is_known
