"""What a gateway remembers of whose visitors' chats are, and how it hears that it is otherwise."""

import asyncio
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import cast

import pytest

from services.gateway.account.visitors import links as module
from services.gateway.account.visitors.links import VisitorLinks
from services.gateway.account.visitors.store import LinkStore
from shared.errors import DatabaseAway


class Store:
    """All links that there are, and what was asked of them; the newest are those that no gateway has heard of."""

    def __init__(self) -> None:
        self.links: dict[str, str] = {}
        self.new: set[str] = set()
        self.asked: list[object] = []
        self.is_away = False

    def _ask(self, what: object) -> None:
        if self.is_away:
            raise DatabaseAway
        self.asked.append(what)

    async def of(self, user_id: str) -> tuple[str, ...]:
        self._ask(user_id)
        return tuple(visitor for visitor, user in self.links.items() if user == user_id)

    async def owner_of(self, visitor_id: str) -> str | None:
        self._ask(visitor_id)
        return self.links.get(visitor_id)

    async def link(self, visitor_id: str, user_id: str) -> str | None:
        self._ask((visitor_id, user_id))
        return self.links.setdefault(visitor_id, user_id)

    async def heard(self, visitor_ids: Collection[str], since: datetime | None) -> tuple[Mapping[str, str], datetime]:
        self._ask(frozenset(visitor_ids))
        await asyncio.sleep(0)
        told = {visitor: user for visitor, user in self.links.items() if visitor in {*visitor_ids, *self.new}}
        return told, datetime.now(UTC)


class Scene:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store = Store()
        self.now = 1000.0
        monkeypatch.setattr(module, "monotonic", lambda: self.now)
        self.links = VisitorLinks(cast(LinkStore, self.store))

    def later(self, seconds: float = module.HEARD_EVERY_S + 0.01) -> None:
        self.now += seconds


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(monkeypatch)


async def test_nothing_is_asked_twice_within_half_a_second(scene: Scene) -> None:
    scene.store.links = {"v1": "ann"}
    for _ in range(3):
        assert await scene.links.of("ann") == ("v1",)
        assert await scene.links.of("bob") == ()
        assert await scene.links.owner_of("v1") == "ann"
        assert await scene.links.owner_of("v2") is None
    assert scene.store.asked == [frozenset(), "ann", "bob", "v1", "v2"]


async def test_what_is_linked_here_is_known_here_at_once(scene: Scene) -> None:
    assert await scene.links.of("ann") == ()
    assert await scene.links.owner_of("v1") is None
    assert await scene.links.link("v1", "ann") == "ann"
    assert await scene.links.of("ann") == ("v1",)
    assert await scene.links.owner_of("v1") == "ann"
    assert await scene.links.link("v1", "bob") == "ann"
    assert await scene.links.of("bob") == ()


async def test_what_is_linked_elsewhere_is_heard_of(scene: Scene) -> None:
    assert await scene.links.of("ann") == ()
    assert await scene.links.owner_of("v1") is None
    scene.store.links, scene.store.new = {"v1": "ann"}, {"v1"}
    assert await scene.links.owner_of("v1") is None
    scene.later()
    assert await scene.links.owner_of("v1") == "ann"
    assert await scene.links.of("ann") == ("v1",)
    assert scene.store.asked[-1] == frozenset()


async def test_a_link_that_is_gone_or_anothers_shows_nobody_what_is_not_theirs(scene: Scene) -> None:
    scene.store.links = {"v1": "ann", "v2": "ann"}
    assert await scene.links.of("ann") == ("v1", "v2")
    assert await scene.links.of("bob") == ()
    assert await scene.links.owner_of("v2") == "ann"
    scene.store.links = {"v2": "bob"}
    scene.later()
    assert await scene.links.of("ann") == ()
    assert await scene.links.of("bob") == ("v2",)
    assert await scene.links.owner_of("v2") == "bob"


async def test_users_without_visitors_are_not_asked_about_again(scene: Scene) -> None:
    for n in range(50):
        await scene.links.of(f"u{n}")
    scene.later(1000)
    scene.store.asked.clear()
    for n in range(50):
        await scene.links.of(f"u{n}")
    assert scene.store.asked == [frozenset()]


async def test_who_has_not_called_for_a_while_is_not_asked_about(scene: Scene) -> None:
    scene.store.links = {"v1": "ann", "v2": "bob"}
    await scene.links.of("ann")
    scene.later(module.FORGOTTEN_S / 2)
    await scene.links.of("bob")
    scene.later(module.FORGOTTEN_S / 2 + 1)
    await scene.links.of("bob")
    assert scene.store.asked[-1] == frozenset({"v2"})
    assert await scene.links.of("ann") == ("v1",)


async def test_many_at_once_ask_once(scene: Scene) -> None:
    scene.store.links = {"v1": "ann"}
    await scene.links.of("ann")
    scene.later()
    scene.store.asked.clear()
    assert set(await asyncio.gather(*(scene.links.of("ann") for _ in range(20)))) == {("v1",)}
    assert scene.store.asked == [frozenset({"v1"})]


async def test_while_the_database_is_away_nothing_that_is_remembered_counts(scene: Scene) -> None:
    await scene.links.of("ann")
    scene.store.is_away = True
    assert await scene.links.of("ann") == ()
    scene.later()
    with pytest.raises(DatabaseAway):
        await scene.links.of("ann")
    scene.store.is_away = False
    assert await scene.links.of("ann") == ()


async def test_memory_has_an_end(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_REMEMBERED", 3)
    monkeypatch.setattr(module, "MOST_OWNED", 2)
    scene.store.links = {f"v{n}": f"u{n}" for n in range(9)}
    for n in range(9):
        assert await scene.links.of(f"u{n}") == (f"v{n}",)
        assert await scene.links.owner_of(f"v{n}") == f"u{n}"
        scene.later()
    for n in range(9):
        assert await scene.links.of(f"u{n}") == (f"v{n}",)
        assert await scene.links.owner_of(f"v{n}") == f"u{n}"
