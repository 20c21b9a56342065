"""Who sends these credentials: a user or a visitor by a bearer token, a visitor by a signed cookie, or both."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from services.gateway.account.api_keys import PREFIX, ApiKeys
from services.gateway.account.caller import Caller
from services.gateway.account.claims import Identity
from services.gateway.account.signing_keys import UnknownKey
from services.gateway.account.standing import Standing
from services.gateway.account.verifier import TokenVerifier
from services.gateway.account.visitors import VisitorToken, first_visitor, read_visitor
from services.gateway.http.authorization import credentials_in
from shared.errors import KeysAway, NotAuthenticated
from shared.settings import Settings

UNKNOWN = "Send `Authorization: Bearer` with a token or an API key."


class Shown(NamedTuple):
    """Whom credentials show; nobody where there are none that count."""

    caller: Caller | None
    visitor: VisitorToken | None  # by which a visitor among them is known


class Authenticator:
    """One for all: whoever calls is looked at here, and nowhere else."""

    def __init__(self, settings: Settings, verifier: TokenVerifier, api_keys: ApiKeys) -> None:
        self._settings = settings
        self._api_keys = api_keys
        self._verifier = verifier

    async def authenticate(self, authorization: str | None, visitor_cookies: Sequence[str], host: str = "") -> Shown:
        """Tell who sends these credentials from this host, and ask others where that must be.

        Wrong credentials never make somebody a visitor; a visitor's cookie that is not good any more counts as none.

        Raises:
            NotAuthenticated: There is an Authorization header, and it is no good.
            KeysAway: Nobody can tell for now.
            TooMany: Too many wrong keys came from there.
        """
        if authorization is not None and PREFIX in authorization:
            scheme, token = credentials_in(authorization)
            if scheme == "bearer" and token.startswith(PREFIX):
                return self._shown(await self._api_keys.find(token, host), visitor_cookies)
        try:
            return self.recognise(authorization, visitor_cookies)
        except (UnknownKey, KeysAway):
            await self._verifier.refresh()
            return self.recognise(authorization, visitor_cookies)

    def recognise(self, authorization: str | None, visitor_cookies: Sequence[str]) -> Shown:
        """Do the same by what is known here, and ask nobody.

        Raises:
            NotAuthenticated: There is an Authorization header, and it is no good, or not known to be.
            KeysAway: There is nothing yet to know it by.
        """
        if authorization is None:
            visitor = first_visitor(visitor_cookies, self._settings)
            return Shown(visitor_caller(visitor.visitor_id) if visitor else None, visitor)
        scheme, token = credentials_in(authorization)
        if scheme != "bearer":
            raise NotAuthenticated(UNKNOWN)
        if token.startswith(PREFIX):
            return self._shown(self._api_keys.recognise(token), visitor_cookies)
        try:
            identity = self._verifier.verified(token)
        except (NotAuthenticated, KeysAway):
            visitor = read_visitor(token, self._settings)
            if visitor is None:
                raise
            return Shown(visitor_caller(visitor.visitor_id, visitor.expires_at), visitor)
        return self._shown(identity, visitor_cookies)

    async def holds(self, caller: Caller) -> bool:
        """Tell whether who was let in a while ago would be let in still, their credentials' end aside."""
        return caller.key_id is None or await self._api_keys.stands(caller.key_id)

    def _shown(self, shown: Identity | Standing, visitor_cookies: Sequence[str]) -> Shown:
        visitor = first_visitor(visitor_cookies, self._settings)
        identity, key_id = (shown, None) if isinstance(shown, Identity) else (shown.identity, shown.id)
        return Shown(_user(identity, visitor.visitor_id if visitor else None, key_id), visitor)


def visitor_caller(visitor_id: str, expires_at: float | None = None) -> Caller:
    """Return the caller that a visitor is."""
    return Caller(visitor_id, visitor_id, role="user", projects=None, user_ids=(visitor_id,), expires_at=expires_at)


def _user(identity: Identity, visitor_id: str | None, key_id: UUID | None) -> Caller:
    user_id = identity.user_id
    return Caller(
        user_id=user_id,
        visitor_id=visitor_id,
        role=identity.role,
        projects=identity.projects,
        user_ids=(user_id, visitor_id) if visitor_id else (user_id,),
        expires_at=identity.expires_at,
        key_id=key_id,
    )
