"""What one piece of work raises is its own fault; what is foreseen, and what is away, is not."""

import asyncpg
import pytest

from shared.consuming.parking import ERROR_LENGTH
from shared.errors import BrokerAway, ShuttingDown, Unstorable
from shared.jobs.unworkable import Unworkable, own_faults


@pytest.mark.parametrize(
    "error",
    [ValueError("no proposal"), RecursionError(), KeyError("legs"), MemoryError(), asyncpg.CheckViolationError("no")],
    ids=lambda error: type(error).__name__,
)
def test_what_nobody_foresaw_is_the_fault_of_the_piece(error: Exception) -> None:
    with pytest.raises(Unworkable, match=type(error).__name__) as raised, own_faults():
        raise error
    assert raised.value.__cause__ is error


@pytest.mark.parametrize(
    "error",
    [
        BrokerAway(),
        ShuttingDown(),
        Unstorable(),
        asyncpg.InterfaceError("closed"),
        asyncpg.exceptions.ClientConfigurationError("no certificate"),  # which is a ValueError, too
        asyncpg.AdminShutdownError("restarting"),
        asyncpg.UndefinedTableError("not migrated"),
        ConnectionResetError(),
        TimeoutError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_is_foreseen_or_away_stays_what_it_is(error: Exception) -> None:
    with pytest.raises(type(error)) as raised, own_faults():
        raise error
    assert raised.value is error


def test_its_reason_can_be_stored() -> None:
    with pytest.raises(Unworkable) as raised, own_faults():
        raise KeyError("a\x00\ud800" + "long " * 1000)
    raised.value.detail.encode()
    assert "\x00" not in raised.value.detail
    assert len(raised.value.detail) <= ERROR_LENGTH
