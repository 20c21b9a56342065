"""Who sends these credentials: a token, an API key, a signed-in browser's cookie or a visitor's, or several."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from services.gateway.account.caller import Caller
from services.gateway.account.keys.api_keys import PREFIX, ApiKeys
from services.gateway.account.logins.logins import Login, Logins
from services.gateway.account.standing import Standing
from services.gateway.account.tokens.claims import Identity
from services.gateway.account.tokens.signing_keys import UnknownKey
from services.gateway.account.tokens.verifier import TokenVerifier
from services.gateway.account.visitors.cookies import VisitorToken, first_visitor, read_visitor
from services.gateway.account.visitors.links import VisitorLinks
from services.gateway.http.callers.authorization import credentials_in
from shared.database import DATABASE_ERRORS
from shared.errors import KeysAway, NotAuthenticated
from shared.settings import Settings

UNKNOWN = "Send `Authorization: Bearer` with a token or an API key."


class Credentials(NamedTuple):
    """What a request shows."""

    authorization: str | None
    login_cookies: Sequence[str] = ()
    visitor_cookies: Sequence[str] = ()
    host: str = ""  # where it comes from


class Shown(NamedTuple):
    """Whom credentials show; nobody where there are none that count."""

    caller: Caller | None
    visitor: VisitorToken | None = None  # by which a visitor among them is known
    login: Login | None = None  # by which a browser is


class Authenticator:
    """One for all: whoever calls is looked at here, and nowhere else."""

    def __init__(
        self, settings: Settings, verifier: TokenVerifier, api_keys: ApiKeys, logins: Logins, links: VisitorLinks
    ) -> None:
        self._settings = settings
        self._links = links
        self._verifier = verifier
        self._api_keys = api_keys
        self._logins = logins

    async def authenticate(self, credentials: Credentials) -> Shown:
        """Tell who sends these credentials, and ask others where that must be.

        A visitor who comes with a user is that user's from then on, and nobody by their own token alone.

        Wrong credentials never make somebody a visitor; a cookie that is not good any more counts as none.

        Raises:
            NotAuthenticated: There is an Authorization header, and it is no good.
            KeysAway: Nobody can tell for now.
            TooMany: Too many wrong keys came from there.
        """
        shown = await self._found(credentials)
        if shown.caller is None:
            return shown
        if shown.caller.is_visitor:
            return await self._unlinked(shown, credentials)
        return await self._with_linked(shown, shown.caller)

    async def _found(self, credentials: Credentials) -> Shown:
        authorization = credentials.authorization
        if authorization is None:
            login = await self._logins.find(credentials.login_cookies, credentials.host)
            return self._by_cookies(login, credentials)
        if PREFIX in authorization:
            scheme, token = credentials_in(authorization)
            if scheme == "bearer" and token.startswith(PREFIX):
                return self._by_key(await self._api_keys.find(token, credentials.host), credentials)
        try:
            return self.recognise(credentials)
        except (UnknownKey, KeysAway):
            await self._verifier.refresh()
            return self.recognise(credentials)

    def recognise(self, credentials: Credentials) -> Shown:
        """Do the same by what is known here, and ask nobody.

        Raises:
            NotAuthenticated: There is an Authorization header, and it is no good, or not known to be.
            KeysAway: There is nothing yet to know it by.
        """
        if credentials.authorization is None:
            return self._by_cookies(self._logins.recognise(credentials.login_cookies), credentials)
        scheme, token = credentials_in(credentials.authorization)
        if scheme != "bearer":
            raise NotAuthenticated(UNKNOWN)
        if token.startswith(PREFIX):
            return self._by_key(self._api_keys.recognise(token), credentials)
        try:
            identity = self._verifier.verified(token)
        except (NotAuthenticated, KeysAway):
            visitor = read_visitor(token, self._settings)
            if visitor is None:
                raise
            return Shown(visitor_caller(visitor.visitor_id, visitor.expires_at), visitor)
        visitor = self._visitor(credentials)
        return Shown(_user(identity, visitor), visitor)

    async def holds(self, caller: Caller) -> bool:
        """Tell whether who was let in a while ago would be let in still, as the same, their credentials' end aside."""
        if caller.key_id is not None and not await self._api_keys.stands(caller.key_id):
            return False
        if caller.login_id is not None and not await self._logins.stands(caller.login_id):
            return False
        try:
            if caller.is_visitor:
                return await self._links.owner_of(caller.user_id) is None
            linked = {*await self._links.of(caller.user_id)}
            for visitor_id in {*caller.user_ids[1:]} - linked:  # of this browser, and nobody's, or not theirs any more
                if visitor_id != caller.visitor_id or await self._links.owner_of(visitor_id) is not None:
                    return False
            return linked <= {*caller.user_ids}
        except (*DATABASE_ERRORS, TimeoutError):
            return True  # nobody can sign in meanwhile, so they are who they were

    async def _unlinked(self, shown: Shown, credentials: Credentials) -> Shown:
        """Let a visitor in who has not signed in; by the token of one who has nobody is shown.

        Raises:
            NotAuthenticated: It is a bearer's.
        """
        if shown.visitor is None or await self._links.owner_of(shown.visitor.visitor_id) is None:
            return shown
        if credentials.authorization is not None:
            raise NotAuthenticated("This visitor has signed in since: sign in.")
        return Shown(None)

    async def _with_linked(self, shown: Shown, user: Caller) -> Shown:
        """Let a user read what they said as a visitor, in whichever browser, and link the one of this browser."""
        visitor, login = shown.visitor, shown.login
        if visitor is not None:
            owner = await self._links.owner_of(visitor.visitor_id)
            if owner is None and user.links:
                owner = await self._links.link(visitor.visitor_id, user.user_id)
            if owner not in (None, user.user_id):  # somebody else has signed in here before
                visitor = None
        linked = await self._links.of(user.user_id)
        visitor_id = visitor.visitor_id if visitor else None
        own = (visitor_id,) if visitor_id is not None and visitor_id not in linked else ()
        user_ids = (user.user_id, *own, *linked)
        if user_ids != user.user_ids or visitor_id != user.visitor_id:
            user = replace(user, visitor_id=visitor_id, user_ids=user_ids)
        return Shown(user, visitor, login)

    def _by_cookies(self, login: Login | None, credentials: Credentials) -> Shown:
        visitor = self._visitor(credentials)
        if login is not None:
            user = _user(login.standing.identity, visitor)
            return Shown(replace(user, login_id=login.standing.id), visitor, login)
        return Shown(visitor_caller(visitor.visitor_id) if visitor else None, visitor)

    def _by_key(self, standing: Standing, credentials: Credentials) -> Shown:
        visitor = self._visitor(credentials)
        return Shown(replace(_user(standing.identity, visitor), key_id=standing.id), visitor)

    def _visitor(self, credentials: Credentials) -> VisitorToken | None:
        return first_visitor(credentials.visitor_cookies, self._settings)


def visitor_caller(visitor_id: str, expires_at: float | None = None) -> Caller:
    """Return the caller that a visitor is."""
    return Caller(visitor_id, visitor_id, role="user", projects=None, user_ids=(visitor_id,), expires_at=expires_at)


def _user(identity: Identity, visitor: VisitorToken | None) -> Caller:
    user_id, visitor_id = identity.user_id, visitor.visitor_id if visitor else None
    return Caller(
        user_id=user_id,
        visitor_id=visitor_id,
        role=identity.role,
        projects=identity.projects,
        user_ids=(user_id, visitor_id) if visitor_id else (user_id,),
        expires_at=identity.expires_at,
    )
