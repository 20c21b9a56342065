"""Who is calling, as routes ask for it: whoever sends a request, counted, and told what their browser is to keep."""

from typing import Annotated, Any

from fastapi import Depends, Security
from fastapi.security import APIKeyCookie, HTTPBearer
from starlette.requests import HTTPConnection, Request
from starlette.types import Scope

from services.gateway.account.authenticator import UNKNOWN, Authenticator, Credentials, visitor_caller
from services.gateway.account.caller import Caller
from services.gateway.account.limits.refusals import Refusals
from services.gateway.account.limits.throttle import Throttle, user_account, visitors_account
from services.gateway.account.logins.logins import Login, Logins, login_cookie, login_cookie_name
from services.gateway.account.rights import Role
from services.gateway.account.visitors.cookies import (
    TOKEN_HEADER,
    VISITOR_COOKIE,
    VisitorToken,
    cookie_header,
    new_visitor,
    token_header,
    token_of,
    visitor_cookie_name,
)
from services.gateway.http.callers.authorization import one_authorization
from services.gateway.http.callers.cookies import cookie_values
from services.gateway.http.callers.origin import from_own_page
from services.gateway.http.edge.middleware import add_header
from services.gateway.http.edge.rate_limit import tell_limits
from services.gateway.http.handed import handed
from shared.errors import Forbidden, KeysAway, NotAuthenticated
from shared.settings import Settings

__all__ = ["VISITOR", "AdminDep", "Caller", "CallerDep", "KnownCallerDep", "Role"]  # and the functions below

SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))
_TOKEN_HEADER = TOKEN_HEADER.lower().encode()
VISITOR = "tripthread.visitor"  # where a request has the token of the visitor who sends it


def account_of(caller: Caller, request: HTTPConnection) -> str:
    """Name whom the limits count a caller as: a user by their id, a visitor by the address."""
    return visitors_account(_host_of(request)) if caller.is_visitor else user_account(caller.user_id)


def address_of(request: HTTPConnection) -> str:
    """Name to the limits whoever calls from an address, without looking who it is."""
    return visitors_account(_host_of(request))


def account_in(scope: Scope) -> str:
    """Name whom a request counts for before anybody has looked who it is: who shows nothing good is their address."""
    request = HTTPConnection(scope)
    try:
        caller = handed(request, Authenticator).recognise(_credentials(request)).caller
    except (NotAuthenticated, KeysAway):
        caller = None
    return account_of(caller, request) if caller else address_of(request)


def note_refusal(scope: Scope) -> None:
    """Remember that a request was refused for the sake of a limit, of whoever sent it as far as that is known here."""
    handed(HTTPConnection(scope), Refusals).note(account_in(scope))


def _credentials(request: HTTPConnection) -> Credentials:
    """Return what a request shows, by one look at its headers: each request is looked at so."""
    authorizations, tokens, has_cookies = [], [], False
    for name, value in request.scope["headers"]:
        if name == b"authorization":
            authorizations.append(value.decode("latin-1"))
        elif name == b"cookie":
            has_cookies = True
        elif name == _TOKEN_HEADER:
            tokens.append(value.decode("latin-1"))
    authorization = one_authorization(authorizations)
    if authorization is None:
        tokens = []  # a client without cookies says beside it which visitor it was
    if not has_cookies:
        return Credentials(authorization, (), tokens, _host_of(request))
    visitors = cookie_values(request, visitor_cookie_name(handed(request, Settings)))
    return Credentials(authorization, login_cookies_of(request), tokens + visitors, _host_of(request))


def login_cookies_of(request: HTTPConnection) -> list[str]:
    """Return every cookie of a request that may show a signed-in browser."""
    return cookie_values(request, login_cookie_name(handed(request, Settings)))


def _host_of(request: HTTPConnection) -> str:
    return request.client.host if request.client else ""  # a Unix socket has no address


async def caller_of(request: Request) -> Caller:
    """Return who is calling; where visitors are allowed, somebody without credentials becomes one.

    Raises:
        TooMany: Too many visitors were made for callers from there.
        NotAuthenticated: The credentials are wrong, or there are none and there must be.
        Forbidden: Another site's page wants to write with this browser's cookie.
    """
    return await known_caller(request) or await new_caller(request)


async def new_caller(request: Request) -> Caller:
    """Make somebody without credentials a visitor, where visitors are allowed."""
    settings = handed(request, Settings)
    if not settings.visitors_allowed:
        raise NotAuthenticated(UNKNOWN)
    await handed(request, Throttle).count_visitor(visitors_account(_host_of(request)))
    visitor = request.scope[VISITOR] = new_visitor(settings)
    add_header(request.scope, cookie_header(visitor, settings))
    return visitor_caller(visitor.visitor_id)


# For the OpenAPI document only: either will do, and the authenticator reads both.
_BEARER = Security(HTTPBearer(scheme_name="token", auto_error=False))
_COOKIE = Security(APIKeyCookie(name=VISITOR_COOKIE, scheme_name="visitor", auto_error=False))


async def _caller(request: Request, _token: Any = _BEARER, _visitor: Any = _COOKIE) -> Caller:
    return await counted(await caller_of(request), request)


async def _known_caller(request: Request, _token: Any = _BEARER, _visitor: Any = _COOKIE) -> Caller:
    caller = await known_caller(request)
    if caller is None:
        raise NotAuthenticated(UNKNOWN)
    return await counted(caller, request)


async def counted(caller: Caller, request: Request) -> Caller:
    """Count this call, except where a program speaks for many, or a person for the operators."""
    if not caller.rights.calls_uncounted:
        left = await handed(request, Throttle).count_call(account_of(caller, request))
        tell_limits(request.scope, left.headers)
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


async def known_caller(request: Request) -> Caller | None:
    """Return who is calling; None where nothing says so. A visitor's token that has aged is renewed with the answer.

    Raises:
        NotAuthenticated: The credentials are wrong.
        Forbidden: Another site's page wants to write with this browser's cookie.
    """
    credentials = _credentials(request)
    writes_by_cookie = credentials.authorization is None and request.method not in SAFE_METHODS
    # Also without a cookie: a form on another site must not replace a visitor's identity by a new one.
    if writes_by_cookie and from_own_page(request.headers) is False:
        raise Forbidden("A page of another origin may not write with this browser's cookies.")
    caller, visitor, login = await handed(request, Authenticator).authenticate(credentials)
    if caller is not None and visitor is not None:
        settings = handed(request, Settings)
        _keep(visitor, request, settings, by_cookie=credentials.authorization is None or not caller.is_visitor)
    if login is not None or credentials.login_cookies:
        await _keep_login(login, credentials, request)
    return caller


async def _keep_login(login: Login | None, credentials: Credentials, request: Request) -> None:
    """Let a signed-in browser that is used stay so, and one that is not any more let go of its cookie."""
    if login is not None:
        if login.is_ageing and await handed(request, Logins).renew(login):
            add_header(request.scope, login_cookie(login.value, handed(request, Settings)))
    elif credentials.login_cookies and credentials.authorization is None:
        add_header(request.scope, login_cookie("", handed(request, Settings)))


def _keep(visitor: VisitorToken, request: Request, settings: Settings, *, by_cookie: bool) -> None:
    """Remember by which token a visitor is known, and give who comes with an old one the next."""
    if visitor.is_ageing:
        visitor = token_of(visitor.visitor_id, settings)
        add_header(request.scope, cookie_header(visitor, settings) if by_cookie else token_header(visitor))
    request.scope[VISITOR] = visitor
