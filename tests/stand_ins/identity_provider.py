"""An identity provider for tests: real keys, shown by a real HTTP server on loopback, which can misbehave."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import cache
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from shared.settings import Settings

Private = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
KEYS_PATH = "/.well-known/jwks.json"


@cache
def private_key(name: str, algorithm: str, size: int = 2048) -> Private:
    """Make a key, the same one for one name."""
    if algorithm == "RS256":
        return rsa.generate_private_key(65537, size)
    return ec.generate_private_key(ec.SECP256R1()) if algorithm == "ES256" else ed25519.Ed25519PrivateKey.generate()


def public_jwk(name: str, algorithm: str, **more: Any) -> dict[str, Any]:
    """Write a key as a JWK, named as it is."""
    public: Any = private_key(name, algorithm).public_key()
    kind: Any = {"RS256": RSAAlgorithm, "ES256": ECAlgorithm, "EdDSA": OKPAlgorithm}[algorithm]
    return {**kind.to_jwk(public, as_dict=True), "kid": name, "use": "sig", "alg": algorithm, **more}


def private_jwk(name: str, algorithm: str) -> dict[str, Any]:
    """Write the whole of a key, as no provider is to show it."""
    kind: Any = {"RS256": RSAAlgorithm, "ES256": ECAlgorithm, "EdDSA": OKPAlgorithm}[algorithm]
    return {**kind.to_jwk(private_key(name, algorithm), as_dict=True), "kid": name}


def public_pem(name: str, algorithm: str) -> str:
    return (
        private_key(name, algorithm).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    )


def sign(name: str = "k1", algorithm: str = "ES256", *, headers: dict[str, Any] | None = None, **claims: Any) -> str:
    """Sign a token of a provider by its key of this name; `...` leaves a claim out, or the header `kid`."""
    said = {"sub": "u1", "exp": int(time.time()) + 600, **claims}
    said = {claim: value for claim, value in said.items() if value is not ...}
    named = {header: value for header, value in {"kid": name, **(headers or {})}.items() if value is not ...}
    return jwt.encode(said, private_key(name, algorithm), algorithm, headers=named)


class Provider:
    """What it shows, and how it behaves."""

    def __init__(self) -> None:
        self.url = ""
        self.keys: list[Any] = [public_jwk("k1", "ES256")]
        self.asked = 0
        self.status = 200
        self.body: bytes | None = None  # instead of the keys
        self.headers: dict[str, str] = {}
        self.drip_s = 0.0  # between two bytes of an answer
        self.answers = asyncio.Event()  # it hangs while this is not set
        self.answers.set()

    def settings(self, **more: Any) -> Settings:
        """Return settings of a gateway that believes this provider, and has no secret of its own."""
        return Settings(
            _env_file=None,
            environment="test",
            allowed_hosts="gateway.test",
            stored_wait_s=0.2,
            calls_per_minute=1_000_000,
            **{"jwt_jwks_url": self.url + KEYS_PATH, **more},
        )

    async def show(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        await self.answers.wait()
        body = json.dumps({"keys": self.keys}).encode() if self.body is None else self.body
        if self.drip_s:
            return await self._drip(request, body)
        return web.Response(body=body, status=self.status, headers=self.headers, content_type="application/json")

    async def _drip(self, request: web.Request, body: bytes) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with suppress(ConnectionError):  # whoever asked has had enough of it
            for byte in body:
                await response.write(bytes([byte]))
                await asyncio.sleep(self.drip_s)
        return response


@asynccontextmanager
async def running_provider() -> AsyncIterator[Provider]:
    provider = Provider()
    app = web.Application()
    app.router.add_get(KEYS_PATH, provider.show)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    provider.url = f"http://{host}:{port}"
    try:
        yield provider
    finally:
        provider.answers.set()
        await runner.cleanup()
