"""Who a request comes from."""

import base64
import time
from collections.abc import Sequence
from functools import cache
from typing import Any, cast

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from services.gateway.account.authenticator import Authenticator, Credentials
from services.gateway.account.caller import Caller
from services.gateway.account.keys.api_keys import ApiKeys
from services.gateway.account.limits.buckets import Buckets
from services.gateway.account.limits.throttle import Throttle
from services.gateway.account.logins.logins import Logins
from services.gateway.account.logins.store import LoginStore
from services.gateway.account.standing import Rows, StandingCredentials
from services.gateway.account.tokens.verifier import TokenVerifier
from services.gateway.account.visitors.cookies import (
    VISITOR_AUDIENCE,
    VISITOR_LIFETIME_S,
    VISITOR_PREFIX,
    new_visitor,
)
from services.gateway.account.visitors.links import VisitorLinks
from services.gateway.account.visitors.store import LinkStore
from services.gateway.turns.here.counts import TurnCounts
from shared.errors import NotAuthenticated
from shared.settings import Settings

SECRET = "a-secret-of-at-least-thirty-two-bytes"
SETTINGS = Settings(_env_file=None, environment="test", jwt_secret=SecretStr(SECRET))
NEXT_CENTURY = 4_102_444_800  # and so the same token in every process, which names a test by it
NO_VISITORS = SETTINGS.model_copy(update={"allow_visitors": False})


@cache
def authenticator(settings: Settings) -> Authenticator:
    throttle = Throttle(settings, TurnCounts(), Buckets())
    nowhere = StandingCredentials(cast(Rows, None))  # none of these tests comes to them
    logins = Logins(cast(LoginStore, None), nowhere, throttle)
    return Authenticator(
        settings, TokenVerifier(settings), ApiKeys(nowhere, throttle), logins, VisitorLinks(cast(LinkStore, None))
    )


def identify(authorization: str | None, visitor_cookies: Sequence[str], settings: Settings) -> Caller | None:
    credentials = Credentials(authorization, visitor_cookies=visitor_cookies)
    return authenticator(settings).recognise(credentials).caller


def bearer(secret: str = SECRET, **claims: Any) -> str:
    return "Bearer " + jwt.encode({"sub": "u1", "exp": NEXT_CENTURY, **claims}, secret, "HS256")


def signed_at(claim: str, ahead_s: float) -> str:
    claims: dict[str, Any] = {claim: time.time() + ahead_s, "exp": time.time() + 600}
    return bearer(**claims)


def test_nobody_without_credentials() -> None:
    assert identify(None, (), SETTINGS) is None


def test_a_token_names_its_user() -> None:
    assert identify(bearer(), (), SETTINGS) == Caller("u1", None, "user", None, ("u1",), NEXT_CENTURY)


def test_a_token_may_give_a_role_and_projects() -> None:
    caller = identify(bearer(role="admin", projects=["p1", "p2"]), (), SETTINGS)
    assert caller is not None
    assert (caller.role, caller.projects) == ("admin", ("p1", "p2"))
    assert caller.sees("p1")
    assert not caller.sees("p3")


def test_a_role_of_somebody_elses_means_user() -> None:
    caller = identify(bearer(role="authenticated"), (), SETTINGS)
    assert caller is not None
    assert caller.role == "user"


@pytest.mark.parametrize(
    "authorization",
    [
        bearer(secret="another-secret-of-thirty-two-bytes!!"),
        pytest.param(bearer(exp=time.time() - 1), id="expired"),
        bearer(exp=None),
        bearer(sub=""),
        bearer(sub="a\x00b"),
        bearer(sub="x" * 256),
        bearer(sub=f"{VISITOR_PREFIX}somebody"),
        bearer(projects="p1"),
        bearer(projects=[""]),
        bearer(projects=["p1", "with a NUL \x00"]),
        bearer(projects=["p" * 256]),
        bearer(exp=1e400),
        pytest.param(bearer(exp=str(NEXT_CENTURY)), id="exp that is a text"),
        pytest.param(bearer(exp=[NEXT_CENTURY]), id="exp that is a list"),
        pytest.param(bearer(exp=True), id="exp that is true"),
        pytest.param(bearer(nbf=[1]), id="nbf that is a list"),
        "Bearer",
        "Bearer ",
        "Bearer nonsense",
        "Bearer tt_an-api-key",
        "Basic dXNlcjpwYXNzd29yZA==",
        "Bearer " + jwt.encode({"sub": "u1", "exp": NEXT_CENTURY}, "", "none"),
        "Bearer " + jwt.encode({"sub": "u1"}, SECRET, "HS256"),
        "Bearer " + jwt.encode({"exp": NEXT_CENTURY}, SECRET, "HS256"),
        "Bearer " + "x" * 100_000,
    ],
)
def test_a_bad_token_is_refused_and_never_a_visitor(authorization: str) -> None:
    with pytest.raises(NotAuthenticated):
        identify(authorization, [new_visitor(SETTINGS).value], SETTINGS)


@given(st.binary(max_size=200))
def test_no_token_breaks_the_reader(garbage: bytes) -> None:
    parts = [base64.urlsafe_b64encode(garbage).decode(), base64.urlsafe_b64encode(b'{"alg":"HS256"}').decode()]
    for token in (garbage.decode("latin-1"), f"{parts[0]}.{parts[1]}.x", f"{parts[1]}.{parts[0]}.x"):
        with pytest.raises(NotAuthenticated):
            identify(f"Bearer {token}", (), SETTINGS)


def test_a_header_nested_too_deeply_is_refused() -> None:
    header = base64.urlsafe_b64encode(b'{"alg":"HS256","x":' + b"[" * 4000).decode()
    with pytest.raises(NotAuthenticated):
        identify(f"Bearer {header}.e30.x", (), SETTINGS)


def test_a_token_that_was_accepted_still_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    authorization = bearer(exp=time.time() + 60)
    assert identify(authorization, (), SETTINGS) is not None
    later = time.time() + 61
    monkeypatch.setattr(time, "time", lambda: later)
    with pytest.raises(NotAuthenticated):
        identify(authorization, (), SETTINGS)


def test_the_audience_is_checked_where_one_is_set() -> None:
    settings = SETTINGS.model_copy(update={"jwt_audience": "tripthread"})
    assert identify(bearer(aud="tripthread"), (), settings) is not None
    for audience in ({"aud": "another"}, {}):
        with pytest.raises(NotAuthenticated):
            identify(bearer(**audience), (), settings)
    assert identify(bearer(aud="anything"), (), SETTINGS) is not None


def test_the_issuer_is_checked_where_one_is_set() -> None:
    settings = SETTINGS.model_copy(update={"jwt_issuer": "https://login.example"})
    assert identify(bearer(iss="https://login.example"), (), settings) is not None
    for issuer in ({"iss": "https://other.example"}, {}):
        with pytest.raises(NotAuthenticated, match="iss"):
            identify(bearer(**issuer), (), settings)
    assert identify(bearer(iss="anybody"), (), SETTINGS) is not None


@pytest.mark.parametrize("claim", ["iat", "nbf"])
def test_the_signers_clock_may_be_a_minute_ahead(claim: str) -> None:
    assert identify(signed_at(claim, 55), (), SETTINGS) is not None
    with pytest.raises(NotAuthenticated):
        identify(signed_at(claim, 90), (), SETTINGS)


def test_a_visitor_comes_back_by_the_cookie() -> None:
    visitor = new_visitor(SETTINGS)
    caller = identify(None, [visitor.value], SETTINGS)
    assert caller == Caller(visitor.visitor_id, visitor.visitor_id, "user", None, (visitor.visitor_id,))
    assert caller.is_visitor
    assert visitor.visitor_id.startswith(VISITOR_PREFIX)


ONE_SECRET = SETTINGS.model_copy(update={"jwt_secret": SETTINGS.cookie_secret})


@pytest.mark.parametrize("settings", [SETTINGS, ONE_SECRET], ids=["two secrets", "one secret"])
def test_a_visitor_comes_back_by_the_same_token_as_a_bearer_and_any_cookie_beside_it_is_another_matter(
    settings: Settings,
) -> None:
    visitor, other = new_visitor(settings), new_visitor(settings)
    caller = identify(f"Bearer {visitor.value}", [other.value], settings)
    assert caller is not None
    assert caller.is_visitor
    assert (caller.user_ids, caller.expires_at) == ((visitor.visitor_id,), visitor.expires_at)


def test_a_visitors_token_is_refused_once_it_has_expired(monkeypatch: pytest.MonkeyPatch) -> None:
    visitor = new_visitor(SETTINGS)
    later = time.time() + VISITOR_LIFETIME_S + 1
    monkeypatch.setattr(time, "time", lambda: later)
    assert identify(None, [visitor.value], SETTINGS) is None
    with pytest.raises(NotAuthenticated):
        identify(f"Bearer {visitor.value}", (), SETTINGS)


def test_a_visitors_token_ages_after_half_of_its_30_days(monkeypatch: pytest.MonkeyPatch) -> None:
    visitor, now = new_visitor(SETTINGS), time.time()
    for days, is_ageing in ((14, False), (16, True)):
        monkeypatch.setattr(time, "time", lambda days=days: now + days * 24 * 3600)
        assert visitor.is_ageing is is_ageing


def test_a_visitors_token_is_a_bearers_only_for_visitors_and_by_that_scheme() -> None:
    visitor = new_visitor(SETTINGS).value
    for authorization, settings in (
        (f"Bearer {visitor}", NO_VISITORS),
        (f"Bearer {signed_as_a_visitors('ann')}", SETTINGS),
        (f"Basic {visitor}", SETTINGS),
        (visitor, SETTINGS),
    ):
        with pytest.raises(NotAuthenticated):
            identify(authorization, (), settings)


@pytest.mark.parametrize("changed", ["", "x", "..", bearer().removeprefix("Bearer ")])
def test_a_cookie_that_we_did_not_sign_counts_for_nothing(changed: str) -> None:
    assert identify(None, [changed], SETTINGS) is None


def test_a_token_is_no_cookie_though_both_have_one_secret() -> None:
    settings = SETTINGS.model_copy(update={"cookie_secret": SecretStr(SECRET)})
    token = jwt.encode({"sub": f"{VISITOR_PREFIX}other", "exp": time.time() + 60}, SECRET, "HS256")
    assert identify(None, [token], settings) is None


def test_with_both_the_data_of_both_may_be_read_and_the_user_writes() -> None:
    visitor = new_visitor(SETTINGS)
    caller = identify(bearer(), [visitor.value], SETTINGS)
    assert caller is not None
    assert (caller.user_id, caller.visitor_id) == ("u1", visitor.visitor_id)
    assert caller.user_ids == ("u1", visitor.visitor_id)


def signed_as_a_visitors(sub: str) -> str:
    claims = {"sub": sub, "aud": VISITOR_AUDIENCE, "exp": time.time() + 60}
    return jwt.encode(claims, SETTINGS.cookie_secret.get_secret_value(), "HS256")


def test_a_visitors_cookie_makes_nobody_a_user() -> None:
    assert identify(None, [signed_as_a_visitors("ann")], SETTINGS) is None
    assert identify(None, [signed_as_a_visitors(f"{VISITOR_PREFIX}1")], SETTINGS) is not None
    caller = identify(bearer(), [signed_as_a_visitors("ann")], SETTINGS)
    assert caller is not None
    assert caller.user_ids == ("u1",)


def test_of_several_cookies_the_first_that_is_a_visitors_counts() -> None:
    first, other = new_visitor(SETTINGS), new_visitor(SETTINGS)
    caller = identify(None, ["forged", signed_as_a_visitors("ann"), first.value, other.value], SETTINGS)
    assert caller is not None
    assert caller.user_id == first.visitor_id


def test_where_visitors_are_not_allowed_their_cookies_count_for_nothing() -> None:
    cookie = new_visitor(SETTINGS).value
    assert identify(None, [cookie], NO_VISITORS) is None
    caller = identify(bearer(), [cookie], NO_VISITORS)
    assert caller is not None
    assert caller.user_ids == ("u1",)
