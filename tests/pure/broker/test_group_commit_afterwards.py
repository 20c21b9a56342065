"""What is said of settled groups, and when: a lone one at once, those that follow soon together."""

from collections.abc import Sequence

import pytest

from shared.consuming.afterwards import EVERY_S, Afterwards
from shared.events import Outcome, Stored
from shared.ids import new_id


class Said:
    """Stands for publisher, subscription and clock, and remembers what was said, in order."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.said: list[object] = []
        self.afterwards = Afterwards(self, self, most=10, now=lambda: self.now)  # type: ignore[arg-type]

    async def announce(self, outcomes: Sequence[Outcome]) -> None:
        self.said.append(list(outcomes))

    async def ack_up_to(self, tag: int) -> None:
        self.said.append(tag)


def stored() -> Stored:
    return Stored(user_id="ada", causes=(new_id(),))


async def test_a_lone_group_is_announced_and_acknowledged_at_once() -> None:
    said, outcome = Said(), stored()

    await said.afterwards.settled(3, [outcome])

    assert said.said == [[outcome], 3]
    assert said.afterwards.due_in_s() is None


async def test_groups_that_follow_soon_are_announced_and_acknowledged_together() -> None:
    said, outcomes = Said(), [stored(), stored()]
    await said.afterwards.settled(1, [])
    said.said.clear()

    said.now += EVERY_S / 4
    until_then = said.now + EVERY_S * 3 / 4
    await said.afterwards.settled(2, outcomes[:1])
    await said.afterwards.settled(4, outcomes[1:])
    assert said.said == []
    assert said.afterwards.due_in_s() == pytest.approx(until_then - said.now)

    said.now += EVERY_S
    assert said.afterwards.due_in_s() == 0
    await said.afterwards.say()
    await said.afterwards.say()
    assert said.said == [outcomes, 4]


async def test_a_group_that_comes_when_it_is_time_takes_along_what_was_not_said() -> None:
    said, outcomes = Said(), [stored(), stored()]
    await said.afterwards.settled(1, [])
    await said.afterwards.settled(2, outcomes[:1])
    said.said.clear()

    said.now += EVERY_S
    await said.afterwards.settled(3, outcomes[1:])

    assert said.said == [outcomes, 3]


async def test_so_many_are_acknowledged_at_once_that_the_broker_goes_on_sending() -> None:
    said = Said()
    await said.afterwards.settled(1, [])
    await said.afterwards.settled(10, [])
    assert said.said == [[], 1]

    await said.afterwards.settled(11, [])

    assert said.said == [[], 1, [], 11]
