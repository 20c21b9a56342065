"""Whether a user's token is good: which key must have signed it, and whom it names then.

The token says by which algorithm it is signed, and that decides only which of our keys is tried: HS256 means the
secret, RS256, ES256 and EdDSA a key of the identity provider of just that algorithm. Nothing else of its header counts:
no key in it, and no address of one.
"""

import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from hashlib import sha256
from typing import Any

import jwt

from services.gateway.account.tokens.claims import ClaimPaths, Identity
from services.gateway.account.tokens.jwt import decoded_claims, header_of
from services.gateway.account.tokens.key_set import ALGORITHMS
from services.gateway.account.tokens.signing_keys import Fetch, SigningKeys, fetch_key_set
from shared.errors import NotAuthenticated
from shared.settings import Settings

MOST_KNOWN = 4096  # of tokens, some 600 bytes each


class TokenVerifier:
    def __init__(self, settings: Settings, fetch: Fetch | None = None) -> None:
        """Verify by what is configured.

        Args:
            settings: Which secret, provider, audience, issuer and claims.
            fetch: Asks the provider; by default its URL.
        """
        self._secrets = settings.hs256_secrets
        self._audience, self._issuer = settings.jwt_audience or None, settings.jwt_issuer or None
        self._leeway_s = settings.jwt_leeway_s
        self._paths = ClaimPaths(settings.jwt_role_claim, settings.jwt_projects_claim)
        self._known: dict[bytes, Identity] = {}  # by the token's hash, oldest first: this memory has no token in it
        self._keys: SigningKeys | None = None
        if settings.jwt_jwks_url:
            fetch = fetch or partial(fetch_key_set, settings.jwt_jwks_url)
            self._keys = SigningKeys(fetch, settings.jwt_keys_kept_s, self._known.clear)

    async def refresh(self) -> None:
        """Ask the provider for its keys, unless it was asked a moment ago."""
        if self._keys is not None:
            await self._keys.refresh()

    def verified(self, token: str) -> Identity:
        """Return whom a token names; what was verified once is remembered, since that takes longer than all else here.

        Raises:
            UnknownKey: The provider may have this key by now.
            KeysAway: Nobody can tell whether it is good.
            NotAuthenticated: It is not good, or not any more.
        """
        if self._keys is not None:
            self._keys.look_again()  # first: it may forget
        digest = sha256(token.encode()).digest()
        identity = self._known.get(digest)
        if identity is None:
            identity = self._verify(token)
            self._remember(digest, identity)
        if identity.expires_at <= time.time():
            raise NotAuthenticated("The token has expired.")
        return identity

    def _verify(self, token: str) -> Identity:
        header = header_of(token)
        algorithm: Any = header.get("alg")
        first, *others = self._fitting(algorithm, header.get("kid"))
        try:
            claims = self._decoded(token, first, algorithm)
        except NotAuthenticated as refusal:
            claims = self._decoded_by_others(token, others, algorithm, refusal)
        return self._paths.identity(claims)

    def _decoded_by_others(
        self, token: str, keys: Sequence[jwt.PyJWK | str], algorithm: str, refusal: NotAuthenticated
    ) -> dict[str, Any]:
        """Try what is being replaced; what the first key says of a token is what its sender is told."""
        for key in keys:
            with suppress(NotAuthenticated):
                return self._decoded(token, key, algorithm)
        raise refusal

    def _decoded(self, token: str, key: jwt.PyJWK | str, algorithm: str) -> dict[str, Any]:
        return decoded_claims(
            token, key, algorithm, audience=self._audience, issuer=self._issuer, leeway_s=self._leeway_s
        )

    def _fitting(self, algorithm: Any, key_id: Any) -> Sequence[jwt.PyJWK | str]:
        """Return what may have signed a token that says this of itself; at least one."""
        if algorithm == "HS256" and self._secrets:
            return self._secrets
        if self._keys is not None and algorithm in ALGORITHMS:
            return (self._keys.find(key_id, algorithm),)
        raise NotAuthenticated("The token is signed by an algorithm that does not count here.")

    def _remember(self, digest: bytes, identity: Identity) -> None:
        if len(self._known) >= MOST_KNOWN:
            del self._known[next(iter(self._known))]
        self._known[digest] = identity
