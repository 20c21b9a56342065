"""How many exports go on at once."""

from contextlib import ExitStack

import pytest

from services.gateway.account.caller import Caller
from services.gateway.privacy.export import ExportPlaces
from shared.errors import Crowded, TooMany


def caller(user_id: str, *, visits: bool = False) -> Caller:
    return Caller(user_id, user_id if visits else None, "user", None, (user_id,))


def test_a_caller_has_one_export_at_a_time_and_an_instance_a_few() -> None:
    places = ExportPlaces(2)
    with places.taken(caller("ann")), places.taken(caller("bob")):
        with pytest.raises(TooMany), places.taken(caller("ann")):
            pass
        with pytest.raises(Crowded), places.taken(caller("cy")):
            pass
    with places.taken(caller("cy")), places.taken(caller("ann")):
        pass


def test_visitors_take_half_of_the_places_at_most() -> None:
    places = ExportPlaces(4)
    with ExitStack() as taken:
        for number in range(2):
            taken.enter_context(places.taken(caller(f"v{number}", visits=True)))
        with pytest.raises(Crowded), places.taken(caller("v2", visits=True)):
            pass
        for number in range(2):
            taken.enter_context(places.taken(caller(f"u{number}")))
        with pytest.raises(Crowded), places.taken(caller("u2")):
            pass
    with places.taken(caller("v2", visits=True)):
        pass
