"""How many exports go on at once."""

import pytest

from services.gateway.privacy.export import ExportPlaces
from shared.errors import Crowded, TooMany


def test_a_caller_has_one_export_at_a_time_and_an_instance_a_few() -> None:
    places = ExportPlaces(2)
    with places.taken("ann"), places.taken("bob"):
        with pytest.raises(TooMany), places.taken("ann"):
            pass
        with pytest.raises(Crowded), places.taken("cy"):
            pass
    with places.taken("cy"), places.taken("ann"):
        pass
