"""Whatever is guilty in a group, exactly that is set aside, and everything else is committed once, in order."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.consuming.bisection import Guilty, bisect


class Ledger:
    """Commits all or nothing, and refuses whatever has a guilty item in it."""

    def __init__(self, guilty: set[int]) -> None:
        self.guilty = guilty
        self.committed: list[int] = []
        self.set_aside: list[int] = []
        self.calls: list[list[int]] = []

    async def commit(self, items: Sequence[int]) -> Sequence[str]:
        self.calls.append(list(items))
        if bad := [item for item in items if item in self.guilty]:
            raise Guilty(ValueError(bad[0]))
        self.committed.extend(items)
        return [f"stored {item}" for item in items]

    async def put_aside(self, item: int, error: BaseException) -> None:
        assert error.args == (item,)
        self.set_aside.append(item)


@given(count=st.integers(1, 200), data=st.data())
async def test_exactly_the_guilty_are_set_aside(count: int, data: st.DataObject) -> None:
    guilty = data.draw(st.sets(st.integers(0, count - 1)))
    ledger = Ledger(guilty)

    outcomes = await bisect(range(count), ledger.commit, ledger.put_aside)

    innocent = [item for item in range(count) if item not in guilty]
    assert ledger.committed == innocent
    assert ledger.set_aside == sorted(guilty)
    assert outcomes == [f"stored {item}" for item in innocent]


@given(count=st.integers(1, 200), data=st.data())
async def test_every_part_is_a_run_of_neighbours(count: int, data: st.DataObject) -> None:
    ledger = Ledger(data.draw(st.sets(st.integers(0, count - 1))))

    await bisect(range(count), ledger.commit, ledger.put_aside)

    assert all(call == list(range(call[0], call[-1] + 1)) for call in ledger.calls)


async def test_one_guilty_of_512_costs_nineteen_commits() -> None:
    ledger = Ledger({300})

    await bisect(range(512), ledger.commit, ledger.put_aside)

    assert len(ledger.calls) == 19  # 1 + 2 * log2(512): both halves of each part that failed


async def test_an_error_that_blames_nobody_ends_it() -> None:
    async def commit(items: Sequence[int]) -> Sequence[str]:
        raise KeyError(items[0])

    async def put_aside(item: int, error: BaseException) -> None:
        raise AssertionError(item, error)

    with pytest.raises(KeyError):
        await bisect(range(4), commit, put_aside)
