"""Who is calling: a bearer of a JWT, a visitor with a signed cookie, or both; and what each may do."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Literal

import jwt
from fastapi import Depends, Security
from fastapi.security import APIKeyCookie, HTTPBearer
from jwt.types import Options
from starlette.requests import HTTPConnection, Request
from starlette.types import Scope

from services.gateway.account.projects import Projects, sees
from services.gateway.account.throttle import Throttle, user_account, visitors_account
from services.gateway.http.authorization import credentials_in
from services.gateway.http.cookies import cookie_values
from services.gateway.http.edge import NEW_COOKIE
from services.gateway.http.handed import handed
from services.gateway.http.origin import from_own_page
from shared.errors import Forbidden, NotAuthenticated
from shared.ids import new_id
from shared.settings import Settings

VISITOR_COOKIE = "visitor"
VISITOR_PREFIX = "visitor_"
VISITOR_LIFETIME_S = 365 * 24 * 3600
# Both tokens may be signed with one secret in development, so each says what it is for.
VISITOR_AUDIENCE = "tripthread/visitor"

UNKNOWN = "Send `Authorization: Bearer` with a token."
MAX_TOKEN_LENGTH = 8192
NEVER = 2**53  # a time that every float holds, and no token lives to see
LEEWAY_S = 60  # for `iat` and `nbf`: whoever signs may have a clock that is ahead of ours
SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))

Role = Literal["user", "service", "admin"]


@dataclass(frozen=True)
class Caller:
    """Somebody who may call, and whose data they may see."""

    user_id: str  # the owner of what this caller makes
    visitor_id: str | None
    role: Role
    projects: Projects
    user_ids: tuple[str, ...]  # one or two owners, `user_id` first, whose data may be read
    expires_at: float | None = None  # when the credentials do, in seconds since 1970

    @property
    def is_visitor(self) -> bool:
        return self.user_id == self.visitor_id

    def sees(self, project_id: str | None) -> bool:
        """Tell whether a session of theirs that is of this project is there for them."""
        return sees(self.projects, project_id)


def identify(authorization: str | None, visitor_cookies: Iterable[str], settings: Settings) -> Caller | None:
    """Tell who sends these credentials; None where there are none that count.

    Wrong credentials never make somebody a visitor; a visitor's cookie that is not good any more counts as none. Of
    several the first one counts that is a visitor's: the others may be another site's doing.

    Raises:
        NotAuthenticated: There is an Authorization header, and it is no good.
    """
    visitor_id = _first_visitor(visitor_cookies, settings) if settings.visitors_allowed else None
    if authorization is None:
        return _visitor(visitor_id) if visitor_id else None
    claims = _claims_of(authorization, settings)
    user_id = claims["sub"]
    return Caller(
        user_id=user_id,
        visitor_id=visitor_id,
        role=claims["role"] if claims.get("role") in ("service", "admin") else "user",
        projects=_projects(claims.get("projects")),
        user_ids=(user_id, visitor_id) if visitor_id else (user_id,),
        expires_at=min(claims["exp"], NEVER),
    )


def new_visitor(settings: Settings) -> tuple[Caller, str]:
    """Make a visitor, and the value of the cookie that will show them to be the same one."""
    visitor_id = f"{VISITOR_PREFIX}{new_id()}"
    claims = {"sub": visitor_id, "aud": VISITOR_AUDIENCE, "exp": int(time.time()) + VISITOR_LIFETIME_S}
    return _visitor(visitor_id), jwt.encode(claims, settings.cookie_secret.get_secret_value(), "HS256")


def visitor_cookie_name(settings: Settings) -> str:
    """Name the cookie: in production so that a browser takes it from this very host only, by HTTPS."""
    return f"__Host-{VISITOR_COOKIE}" if settings.environment == "production" else VISITOR_COOKIE


def visitor_cookie_header(value: str, settings: Settings) -> str:
    """Spell the Set-Cookie header that keeps a visitor."""
    secure = "; Secure" if settings.environment == "production" else ""
    return (
        f"{visitor_cookie_name(settings)}={value}; Path=/; Max-Age={VISITOR_LIFETIME_S}; HttpOnly; SameSite=Lax{secure}"
    )


def account_of(caller: Caller, request: HTTPConnection) -> str:
    """Name whom the limits count a caller as: a user by their id, a visitor by the address."""
    return visitors_account(_host_of(request)) if caller.is_visitor else user_account(caller.user_id)


def account_in(scope: Scope, settings: Settings) -> str:
    """Name whom a request counts for before anybody has looked who it is: who shows nothing good is their address."""
    request = HTTPConnection(scope)
    try:
        cookies = cookie_values(request, visitor_cookie_name(settings))
        caller = identify(request.headers.get("authorization"), cookies, settings)
    except NotAuthenticated:
        caller = None
    return account_of(caller, request) if caller else visitors_account(_host_of(request))


def _host_of(request: HTTPConnection) -> str:
    return request.client.host if request.client else ""  # a Unix socket has no address


async def caller_of(request: Request) -> Caller:
    """Return who is calling; where visitors are allowed, somebody without credentials becomes one.

    Raises:
        TooMany: Too many visitors were made for callers from there.
        NotAuthenticated: The credentials are wrong, or there are none and there must be.
        Forbidden: Another site's page wants to write with this browser's cookie.
    """
    settings = handed(request, Settings)
    caller = _known(request, settings)
    if caller is not None:
        return caller
    if not settings.visitors_allowed:
        raise NotAuthenticated(UNKNOWN)
    await handed(request, Throttle).count_visitor(visitors_account(_host_of(request)))
    caller, cookie = new_visitor(settings)
    request.scope[NEW_COOKIE] = visitor_cookie_header(cookie, settings)
    return caller


# For the OpenAPI document only: either will do, and `identify` reads both.
_BEARER = Security(HTTPBearer(scheme_name="token", auto_error=False))
_COOKIE = Security(APIKeyCookie(name=VISITOR_COOKIE, scheme_name="visitor", auto_error=False))


async def _caller(request: Request, _token: Any = _BEARER, _visitor: Any = _COOKIE) -> Caller:
    return await _counted(await caller_of(request), request)


async def _known_caller(request: Request, _token: Any = _BEARER, _visitor: Any = _COOKIE) -> Caller:
    caller = _known(request, handed(request, Settings))
    if caller is None:
        raise NotAuthenticated(UNKNOWN)
    return await _counted(caller, request)


async def _counted(caller: Caller, request: Request) -> Caller:
    """Count this call, except where a program speaks for many, or a person for the operators."""
    if caller.role == "user":
        await handed(request, Throttle).count_call(account_of(caller, request))
    return caller


CallerDep = Annotated[Caller, Depends(_caller)]
KnownCallerDep = Annotated[Caller, Depends(_known_caller)]  # where nobody becomes a visitor by calling


async def _admin(caller: KnownCallerDep) -> Caller:
    if caller.role != "admin":
        raise Forbidden("This is for administrators.")
    if caller.projects is not None:
        raise Forbidden("This is for administrators whose token is limited to no projects: it shows all of them.")
    return caller


AdminDep = Annotated[Caller, Depends(_admin)]


def _known(request: Request, settings: Settings) -> Caller | None:
    authorization = request.headers.get("authorization")
    writes_by_cookie = authorization is None and request.method not in SAFE_METHODS
    # Also without a cookie: a form on another site must not replace a visitor's identity by a new one.
    if writes_by_cookie and from_own_page(request.headers) is False:
        raise Forbidden("A page of another origin may not write with a visitor's cookie.")
    return identify(authorization, cookie_values(request, visitor_cookie_name(settings)), settings)


def _visitor(visitor_id: str) -> Caller:
    return Caller(visitor_id, visitor_id, role="user", projects=None, user_ids=(visitor_id,))


def _first_visitor(cookies: Iterable[str], settings: Settings) -> str | None:
    return next((visitor for cookie in cookies if (visitor := _visitor_of(cookie, settings))), None)


def _visitor_of(cookie: str, settings: Settings) -> str | None:
    try:
        claims = _current_claims(cookie, settings.cookie_secret.get_secret_value(), VISITOR_AUDIENCE)
    except NotAuthenticated:
        return None
    visitor_id: str = claims["sub"]
    return visitor_id if visitor_id.startswith(VISITOR_PREFIX) else None


def _claims_of(authorization: str, settings: Settings) -> dict[str, Any]:
    scheme, token = credentials_in(authorization)
    if scheme != "bearer":
        raise NotAuthenticated(UNKNOWN)
    secret, issuer = settings.jwt_secret.get_secret_value(), settings.jwt_issuer or None
    claims = _current_claims(token.strip(), secret, settings.jwt_audience or None, issuer)
    if claims["sub"].startswith(VISITOR_PREFIX):
        raise NotAuthenticated("A token may not name a visitor.")
    return claims


def _current_claims(token: str, secret: str, audience: str | None, issuer: str | None = None) -> dict[str, Any]:
    claims = _verified_claims(token, secret, audience, issuer)
    if claims["exp"] <= time.time():
        raise NotAuthenticated("The token has expired.")
    return claims


@lru_cache(maxsize=2048)
def _verified_claims(token: str, secret: str, audience: str | None, issuer: str | None) -> dict[str, Any]:
    """Check everything that does not change with time; kept, since it takes longer than all else here together."""
    if len(token) > MAX_TOKEN_LENGTH:
        raise NotAuthenticated("The token is too long.")
    options: Options = {"require": ["sub", "exp"], "verify_aud": audience is not None}
    try:
        claims = jwt.decode(
            token,
            secret,
            algorithms=["HS256"],
            audience=audience,
            issuer=issuer,
            leeway=LEEWAY_S,  # also for `exp`, which is looked at again each time, without
            options=options,
        )
    except (jwt.PyJWTError, OverflowError) as error:  # the latter: an `exp` of infinity
        raise NotAuthenticated(f"The token is not valid: {error}") from error
    claims["sub"] = _owner(claims["sub"])
    claims["exp"] = int(claims["exp"])
    return claims


def _owner(sub: str) -> str:
    if not _is_name(sub):
        raise NotAuthenticated("`sub` must have 1 to 255 printable characters.")
    return sub


def _projects(claim: Any) -> Projects:
    if claim is None:
        return None
    if not isinstance(claim, list) or not all(isinstance(each, str) and _is_name(each) for each in claim):
        raise NotAuthenticated("`projects` must be a list of texts, each of 1 to 255 printable characters.")
    return tuple(dict.fromkeys(claim))


def _is_name(text: str) -> bool:
    return 1 <= len(text) <= 255 and text.isprintable()
