"""Who is calling: a user or a visitor by a bearer token, a visitor by a signed cookie, or a user and a visitor."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import Depends, Security
from fastapi.security import APIKeyCookie, HTTPBearer
from starlette.requests import HTTPConnection, Request
from starlette.types import Scope

from services.gateway.account.projects import Projects, sees
from services.gateway.account.throttle import Throttle, user_account, visitors_account
from services.gateway.account.tokens import current_claims, is_name
from services.gateway.account.visitors import (
    VISITOR_COOKIE,
    VISITOR_PREFIX,
    VisitorToken,
    cookie_header,
    first_visitor,
    new_visitor,
    read_visitor,
    token_header,
    token_of,
    visitor_cookie_name,
)
from services.gateway.http.authorization import credentials_in
from services.gateway.http.cookies import cookie_values
from services.gateway.http.edge import NEW_HEADER
from services.gateway.http.handed import handed
from services.gateway.http.origin import from_own_page
from shared.errors import Forbidden, NotAuthenticated
from shared.settings import Settings

UNKNOWN = "Send `Authorization: Bearer` with a token."
NEVER = 2**53  # a time that every float holds, and no token lives to see
SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))
VISITOR = "tripthread.visitor"  # where a request has the token of the visitor who sends it

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

    @property
    def reads_everybody(self) -> bool:
        """Whether what is others' is theirs to read: an administrator's whose token is limited to no projects."""
        return self.role == "admin" and self.projects is None

    def sees(self, project_id: str | None) -> bool:
        """Tell whether a session of theirs that is of this project is there for them."""
        return sees(self.projects, project_id)


def identify(authorization: str | None, visitor_cookies: Sequence[str], settings: Settings) -> Caller | None:
    """Tell who sends these credentials; None where there are none that count.

    Wrong credentials never make somebody a visitor; a visitor's cookie that is not good any more counts as none.

    Raises:
        NotAuthenticated: There is an Authorization header, and it is no good.
    """
    return _shown(authorization, visitor_cookies, settings)[0]


def _shown(
    authorization: str | None, visitor_cookies: Sequence[str], settings: Settings
) -> tuple[Caller | None, VisitorToken | None]:
    """Tell who sends these credentials, and by which token a visitor among them is known."""
    if authorization is None:
        visitor = first_visitor(visitor_cookies, settings)
        return _visitor(visitor.visitor_id) if visitor else None, visitor
    try:
        claims = _claims_of(authorization, settings)
    except NotAuthenticated:
        visitor = _bearing_visitor(authorization, settings)
        if visitor is None:
            raise
        return _visitor(visitor.visitor_id, visitor.expires_at), visitor
    visitor = first_visitor(visitor_cookies, settings)
    return _user(claims, visitor.visitor_id if visitor else None), visitor


def account_of(caller: Caller, request: HTTPConnection) -> str:
    """Name whom the limits count a caller as: a user by their id, a visitor by the address."""
    return visitors_account(_host_of(request)) if caller.is_visitor else user_account(caller.user_id)


def address_of(request: HTTPConnection) -> str:
    """Name to the limits whoever calls from an address, without looking who it is."""
    return visitors_account(_host_of(request))


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
    return known_caller(request, settings) or await new_caller(request, settings)


async def new_caller(request: Request, settings: Settings) -> Caller:
    """Make somebody without credentials a visitor, where visitors are allowed."""
    if not settings.visitors_allowed:
        raise NotAuthenticated(UNKNOWN)
    await handed(request, Throttle).count_visitor(visitors_account(_host_of(request)))
    visitor = request.scope[VISITOR] = new_visitor(settings)
    request.scope[NEW_HEADER] = cookie_header(visitor, settings)
    return _visitor(visitor.visitor_id)


# For the OpenAPI document only: either will do, and `identify` reads both.
_BEARER = Security(HTTPBearer(scheme_name="token", auto_error=False))
_COOKIE = Security(APIKeyCookie(name=VISITOR_COOKIE, scheme_name="visitor", auto_error=False))


async def _caller(request: Request, _token: Any = _BEARER, _visitor: Any = _COOKIE) -> Caller:
    return await _counted(await caller_of(request), request)


async def _known_caller(request: Request, _token: Any = _BEARER, _visitor: Any = _COOKIE) -> Caller:
    caller = known_caller(request, handed(request, Settings))
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
    if caller.reads_everybody:
        return caller
    if caller.role == "admin":
        raise Forbidden("This is for administrators whose token is limited to no projects: it shows all of them.")
    raise Forbidden("This is for administrators.")


AdminDep = Annotated[Caller, Depends(_admin)]


def known_caller(request: Request, settings: Settings) -> Caller | None:
    """Return who is calling; None where nothing says so. A visitor's token that has aged is renewed with the answer.

    Raises:
        NotAuthenticated: The credentials are wrong.
        Forbidden: Another site's page wants to write with this browser's cookie.
    """
    authorization = request.headers.get("authorization")
    writes_by_cookie = authorization is None and request.method not in SAFE_METHODS
    # Also without a cookie: a form on another site must not replace a visitor's identity by a new one.
    if writes_by_cookie and from_own_page(request.headers) is False:
        raise Forbidden("A page of another origin may not write with a visitor's cookie.")
    caller, visitor = _shown(authorization, cookie_values(request, visitor_cookie_name(settings)), settings)
    if caller is not None and visitor is not None:
        _keep(visitor, request, settings, by_cookie=authorization is None or not caller.is_visitor)
    return caller


def _keep(visitor: VisitorToken, request: Request, settings: Settings, *, by_cookie: bool) -> None:
    """Remember by which token a visitor is known, and give who comes with an old one the next."""
    if visitor.is_ageing:
        visitor = token_of(visitor.visitor_id, settings)
        request.scope[NEW_HEADER] = cookie_header(visitor, settings) if by_cookie else token_header(visitor)
    request.scope[VISITOR] = visitor


def _visitor(visitor_id: str, expires_at: float | None = None) -> Caller:
    return Caller(visitor_id, visitor_id, role="user", projects=None, user_ids=(visitor_id,), expires_at=expires_at)


def _user(claims: dict[str, Any], visitor_id: str | None) -> Caller:
    user_id = claims["sub"]
    return Caller(
        user_id=user_id,
        visitor_id=visitor_id,
        role=claims["role"] if claims.get("role") in ("service", "admin") else "user",
        projects=_projects(claims.get("projects")),
        user_ids=(user_id, visitor_id) if visitor_id else (user_id,),
        expires_at=min(claims["exp"], NEVER),
    )


def _bearing_visitor(authorization: str, settings: Settings) -> VisitorToken | None:
    scheme, token = credentials_in(authorization)
    return read_visitor(token, settings) if scheme == "bearer" else None


def _claims_of(authorization: str, settings: Settings) -> dict[str, Any]:
    scheme, token = credentials_in(authorization)
    if scheme != "bearer":
        raise NotAuthenticated(UNKNOWN)
    secret, issuer = settings.jwt_secret.get_secret_value(), settings.jwt_issuer or None
    claims = current_claims(token, secret, settings.jwt_audience or None, issuer)
    if claims["sub"].startswith(VISITOR_PREFIX):
        raise NotAuthenticated("A token may not name a visitor.")
    return claims


def _projects(claim: Any) -> Projects:
    if claim is None:
        return None
    if not isinstance(claim, list) or not all(isinstance(each, str) and is_name(each) for each in claim):
        raise NotAuthenticated("`projects` must be a list of texts, each of 1 to 255 printable characters.")
    return tuple(dict.fromkeys(claim))
