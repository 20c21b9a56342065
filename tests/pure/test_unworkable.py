"""What one piece of work raises is its own fault; what is foreseen, and what is away, is not."""

import asyncpg
import pytest

from shared.errors import BrokerAway, ShuttingDown, Unstorable
from shared.unworkable import Unworkable, own_faults


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
