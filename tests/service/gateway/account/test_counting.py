"""Whose turns and sessions count against which quota, and of whose address."""

from datetime import UTC, datetime
from typing import Any, cast

import pytest

from services.gateway.account.limits.counting import Counting
from services.gateway.account.limits.quota import Quota, QuotaOf, erased_name
from services.gateway.account.limits.quota_store import QuotaStore
from services.gateway.account.limits.refusals import Refusals
from services.gateway.account.limits.throttle import user_account, visitors_account
from services.gateway.account.visitors.links import VisitorLinks
from services.gateway.account.visitors.store import LinkStore
from services.gateway.turns.quota import UsedUp
from shared.errors import BrokerAway, QuotaUsedUp
from shared.settings import Settings

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
ANN, HERE, NEXT_DOOR = user_account("ann"), visitors_account("192.0.2.1"), visitors_account("192.0.2.2")


class Store:
    """What administrators said, forks that are counted, and how often either was asked for."""

    def __init__(self, **said: Quota) -> None:
        self.quotas = dict(said)
        self.asked: list[datetime | None] = []
        self.forks: list[str] = []
        self.used_up: UsedUp | None = None

    async def said(self, since: datetime | None) -> tuple[list[QuotaOf], datetime]:
        self.asked.append(since)
        return [QuotaOf(user_id, quota, NOON) for user_id, quota in self.quotas.items()], NOON

    async def count_fork(self, _quota: Any, session_id: str) -> UsedUp | None:
        if self.used_up is None:
            self.forks.append(session_id)
        return self.used_up

    async def uncount_fork(self, _quota: Any, session_id: str) -> None:
        self.forks.remove(session_id)


class Links:
    """Ann was two visitors before."""

    async def of(self, user_id: str) -> tuple[str, ...]:
        return ("visitor_ann1", "visitor_ann2") if user_id == "ann" else ()

    async def heard(self, visitors: set[str], _since: datetime | None) -> tuple[dict[str, str], datetime]:
        return dict.fromkeys(visitors, "ann"), NOON


def counting(store: Store, **values: Any) -> Counting:
    settings = Settings(_env_file=None, environment="test", **values)
    return Counting(settings, cast(QuotaStore, store), VisitorLinks(cast(LinkStore, Links())), Refusals())


async def test_where_nothing_is_limited_nobody_counts() -> None:
    store = Store()
    nothing = counting(store)
    assert [await nothing.quota_of("ann", account) for account in (ANN, HERE, "")] == [None] * 3
    assert store.asked == [None]  # it was heard of before the first


async def test_what_nobody_asks_for_counts_for_nobody() -> None:
    assert await counting(Store(), turns_per_day=1).quota_of("ann", "") is None


async def test_a_user_is_who_asks_whosever_session_it_is_with_all_whom_they_were() -> None:
    limited = counting(Store(), turns_per_day=5)
    for owner in ("ann", "visitor_ann1"):
        assert await limited.quota_of(owner, ANN) == {
            "turns_per_day": 5,
            "by": "ann",
            "with": ["ann", erased_name("ann"), "visitor_ann1", "visitor_ann2"],
        }


async def test_a_visitor_counts_by_themselves_and_with_all_of_their_address() -> None:
    limited = counting(Store(), turns_per_day=5, visitor_turns_per_day=9, sessions_in_all=7)
    one, other, elsewhere = [
        await limited.quota_of(visitor, account)
        for visitor, account in (("visitor_1", HERE), ("visitor_2", HERE), ("visitor_1", NEXT_DOOR))
    ]
    assert one is not None
    assert (one["by"], one["with"]) == ("visitor_1", ["visitor_1", erased_name("visitor_1")])
    assert (one["turns_per_day"], one["sessions_in_all"]) == (5, 7)
    address = one["address"]
    assert address == {"turns_per_day": 9, "by": address["by"], "with": [address["by"]], "prefix": "visitor_"}
    assert other is not None
    assert elsewhere is not None
    assert other["address"] == address
    assert elsewhere["address"]["by"] != address["by"]


async def test_an_address_is_kept_as_a_hash_that_only_this_secret_makes() -> None:
    names = []
    for secret in ("one-secret-of-at-least-thirty-two-bytes", "another-secret-of-at-least-thirty-two-bytes"):
        quota = await counting(Store(), turns_per_day=5, cookie_secret=secret).quota_of("visitor_1", HERE)
        assert quota is not None
        names.append(quota["address"]["by"])
    assert names[0] != names[1]
    assert "192.0.2" not in str(names)


async def test_an_address_alone_may_be_limited() -> None:
    quota = await counting(Store(), visitor_tokens_per_day=9).quota_of("visitor_1", HERE)
    assert quota is not None
    assert {"tokens_per_day", "turns_per_day"} & {*quota} == set()
    assert quota["address"]["tokens_per_day"] == 9
    assert await counting(Store(), visitor_tokens_per_day=9).quota_of("ann", ANN) is None


async def test_what_is_said_of_one_user_goes_before_the_settings_also_once_they_are_erased() -> None:
    said = {"ann": Quota(turns_per_day=0), erased_name("bob"): Quota(tokens_per_day=3)}
    limited = counting(Store(**said), turns_per_day=5)
    assert (await limited.quota_of("ann", ANN) or {})["turns_per_day"] == 0
    bob = await limited.quota_of("bob", user_account("bob")) or {}
    assert (bob["turns_per_day"], bob["tokens_per_day"]) == (5, 3)
    cat = await limited.quota_of("cat", user_account("cat")) or {}
    assert "tokens_per_day" not in cat


async def test_what_is_said_later_counts_once_it_is_heard() -> None:
    store = Store()
    limited = counting(store)
    assert await limited.quota_of("ann", ANN) is None
    store.quotas["ann"] = Quota(turns_per_day=2)
    await limited.hear()
    assert (await limited.quota_of("ann", ANN) or {})["turns_per_day"] == 2
    assert store.asked == [None, NOON]  # what is new since then


async def test_a_fork_that_the_broker_did_not_take_counts_no_more() -> None:
    store = Store()
    limited = counting(store, sessions_per_day=5)
    async with limited.counted("ann", ANN, "f1"):
        assert store.forks == ["f1"]
    with pytest.raises(BrokerAway):
        async with limited.counted("ann", ANN, "f2"):
            raise BrokerAway
    assert store.forks == ["f1"]


async def test_where_a_quota_is_used_up_no_fork_is_made() -> None:
    store = Store()
    store.used_up = UsedUp("sessions_per_day", NOON)
    with pytest.raises(QuotaUsedUp):
        async with counting(store, sessions_per_day=5).counted("ann", ANN, "f1"):
            raise AssertionError("it was accepted")
    async with counting(store).counted("ann", ANN, "f1"):  # nobody has a quota
        pass
