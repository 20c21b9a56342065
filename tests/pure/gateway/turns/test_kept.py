"""What a session keeps: what was named first, and the newest model."""

import pytest

from services.gateway.turns.past.kept import Kept, first_seen, kept_by
from shared.errors import NotFound
from tests.pure.gateway.samples import glimpse, turn


def test_what_is_stored_counts_first_and_then_what_a_turn_named_first() -> None:
    turns = [
        glimpse(turn(at=3, project_id="p3", helper="h3", model="newest")),
        glimpse(turn(at=1, project_id=None, helper="h1", model="oldest")),
        glimpse(turn(at=2, project_id="p2", helper="h2", model="middle")),
    ]
    assert kept_by(turns) == Kept("p2", "h1", "newest")
    assert kept_by(turns, Kept("p0", None, "stored")) == Kept("p0", "h1", "newest")
    assert kept_by([], Kept("p0", "h0", "stored")) == Kept("p0", "h0", "stored")


def test_a_message_without_a_model_changes_no_model() -> None:
    assert kept_by([glimpse(turn(model="", state="posted"))], Kept(model="stored")).model == "stored"


def test_of_several_users_the_first_whose_session_is_seen_has_it() -> None:
    kept = {"ann": Kept("p1"), "visitor": Kept("p2")}
    assert first_seen(kept, lambda _project: True) == "ann"
    assert first_seen(kept, lambda project: project == "p2") == "visitor"
    assert first_seen({}, lambda _project: False) is None
    with pytest.raises(NotFound):
        first_seen(kept, lambda _project: False)
