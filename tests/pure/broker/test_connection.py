"""What aiormq raises where a connection is lost is one error, and nothing else is."""

import pytest
from aiormq.exceptions import ChannelInvalidStateError

from shared.broker.connection import Disconnected, disconnections


@pytest.mark.parametrize("error", [Exception(), Exception("closed"), ChannelInvalidStateError(), OSError(), EOFError()])
def test_a_lost_connection_is_told_as_one(error: Exception) -> None:
    with pytest.raises(Disconnected), disconnections():
        raise error


@pytest.mark.parametrize("error", [KeyError(), ValueError("a mistake of ours")])
def test_a_mistake_of_ours_is_not_taken_for_a_lost_connection(error: Exception) -> None:
    with pytest.raises(type(error)), disconnections():
        raise error
