"""Models are asked over TLS only where the service shows whose it is."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from yarl import URL

from services.gateway.model.asking.pool import Pool
from tests.service.gateway.model.test_connection import HI, Service, asked
from tests.waiting import PATIENCE_S


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for `localhost` that says of itself that it is good, with its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    spelled = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    path = tmp_path / "certificate.pem"
    path.write_bytes(spelled + signed.public_bytes(Encoding.PEM))
    return path


@asynccontextmanager
async def pool_over_tls(certificate: Path, host: str) -> AsyncIterator[Pool]:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)
    service = Service(HI, HI)
    async with (
        await asyncio.start_server(service.serve, "127.0.0.1", 0, ssl=tls) as server,
        asyncio.timeout(PATIENCE_S),
    ):
        pool = Pool(URL(f"https://{host}:{server.sockets[0].getsockname()[1]}/v1"), {}, PATIENCE_S)
        try:
            yield pool
        finally:
            pool.close()


async def test_a_service_that_is_believed_is_asked(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    async with pool_over_tls(certificate, "localhost") as pool:
        assert [await asked(pool), await asked(pool)] == [b"hi", b"hi"]


async def test_one_that_nobody_vouches_for_is_not(certificate: Path) -> None:
    async with pool_over_tls(certificate, "localhost") as pool:
        with pytest.raises(ssl.SSLCertVerificationError):
            await asked(pool)


async def test_one_that_shows_another_name_is_not(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    async with pool_over_tls(certificate, "127.0.0.1") as pool:
        with pytest.raises(ssl.SSLCertVerificationError):
            await asked(pool)
