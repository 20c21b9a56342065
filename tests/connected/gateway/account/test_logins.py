"""Browsers that links sign in, at two gateways on real servers."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from services.gateway.account.logins.links import PATH, login_token
from tests.connected.gateway.stage import Rows, Stage, open_stage
from tests.waiting import until


@pytest.fixture(scope="module")
async def other(read_stage: Stage) -> AsyncIterator[Stage]:
    async with open_stage(read_stage.settings) as stage:
        yield stage


async def signed_in(stage: Stage, user: str = "ann") -> dict[str, str]:
    """Sign a browser in, and return what it sends from then on."""
    token = login_token(stage.settings, user, "user", 600)
    answer = await stage.http.post(PATH, data={"token": token})
    assert answer.status_code == 200, answer.text
    stage.http.cookies.clear()
    return {"Cookie": answer.headers["set-cookie"].partition(";")[0]}


async def me(stage: Stage, browser: dict[str, str]) -> int:
    return (await stage.http.get("/api/me", headers=browser)).status_code


async def refused(stage: Stage, browser: dict[str, str]) -> bool:
    return await me(stage, browser) == 401


async def test_of_many_who_press_the_button_at_two_gateways_one_is_signed_in(
    gateway: Stage, other: Stage, rows: Rows
) -> None:
    token = login_token(gateway.settings, "ann", "admin", 600)
    pressing = [stage.http.post(PATH, data={"token": token}) for stage in (gateway, other) for _ in range(8)]
    answers = await asyncio.gather(*pressing)
    assert sorted(answer.status_code for answer in answers) == [200] + [410] * 15
    other.http.cookies.clear()
    (row,) = await rows.fetch("SELECT * FROM gateway.browser_sessions")
    (cookie,) = [answer.headers["set-cookie"] for answer in answers if answer.status_code == 200]
    value = cookie.partition("=")[2].partition(";")[0]
    assert (row["user_id"], row["role"], len(row["token_hash"])) == ("ann", "admin", 32)
    assert value.encode() not in row["token_hash"]


async def test_signing_out_counts_at_every_gateway(gateway: Stage, other: Stage) -> None:
    one, two = await signed_in(gateway), await signed_in(gateway)
    assert {await me(stage, each) for stage in (gateway, other) for each in (one, two)} == {200}
    assert (await gateway.http.post("/api/auth/logout", headers=one)).status_code == 204
    assert await refused(gateway, one)
    await until(lambda: refused(other, one), "the other gateway to know")
    assert (await me(gateway, two), await me(other, two)) == (200, 200)
    ended = await other.http.post("/api/admin/users/ann/logout", headers=other.as_user("root", "admin"))
    assert ended.json() == {"ended": 1}
    await until(lambda: refused(gateway, two), "the first gateway to know")


async def test_an_erasure_signs_out_and_an_older_link_signs_nobody_in(gateway: Stage, other: Stage) -> None:
    older = login_token(gateway.settings, "ann", "user", 600)
    browser, eves = await signed_in(gateway), await signed_in(gateway, "eve")
    assert {await me(other, each) for each in (browser, eves)} == {200}
    assert (await gateway.http.delete("/api/me/data", headers=browser)).status_code == 202
    await until(lambda: refused(other, browser), "the browser to be signed out")
    assert (await gateway.http.post(PATH, data={"token": older})).status_code == 410
    assert (await me(other, await signed_in(gateway)), await me(other, eves)) == (200, 200)


async def test_a_browser_that_is_used_lasts_but_not_for_ever(gateway: Stage, rows: Rows) -> None:
    browser = await signed_in(gateway)
    await rows.run("UPDATE gateway.browser_sessions SET expires_at = clock_timestamp() + interval '1 hour'")
    renewed = await gateway.http.get("/api/me", headers=browser)
    assert renewed.headers["set-cookie"].startswith(browser["Cookie"])
    (left,) = await rows.fetch("SELECT expires_at - clock_timestamp() AS left FROM gateway.browser_sessions")
    assert left["left"].total_seconds() > 11 * 3600
    await rows.run(
        "UPDATE gateway.browser_sessions SET created_at = clock_timestamp() - interval '31 days',"
        " expires_at = clock_timestamp() + interval '1 hour'"
    )
    async with open_stage(gateway.settings) as fresh:
        late = await fresh.http.get("/api/me", headers=browser)
    assert (late.status_code, "set-cookie" in late.headers) == (200, False)
    await rows.run("UPDATE gateway.browser_sessions SET expires_at = clock_timestamp()")
    await until(lambda: refused(gateway, browser), "its end")


async def test_what_has_ended_long_ago_goes_with_the_next_who_signs_in(gateway: Stage, rows: Rows) -> None:
    await signed_in(gateway)
    await rows.run("UPDATE gateway.browser_sessions SET expires_at = clock_timestamp()")
    await rows.run("UPDATE gateway.login_links SET expires_at = clock_timestamp() - interval '2 days'")
    await signed_in(gateway, "eve")
    for table in ("browser_sessions", "login_links"):
        left = await rows.fetch(f"SELECT user_id FROM gateway.{table}")  # noqa: S608 - names of this function
        assert [row["user_id"] for row in left] == ["eve"]
