"""The keys that an identity provider publishes (a JWK Set, RFC 7517), as far as they may verify a token here. Pure."""

from codecs import BOM_UTF8
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt
import orjson

# By the key's type: the one algorithm that it is good for here, and its curve. A symmetric key is none.
_USES = {"RSA": ("RS256", None), "EC": ("ES256", "P-256"), "OKP": ("EdDSA", "Ed25519")}
ALGORITHMS = tuple(algorithm for algorithm, _ in _USES.values())  # what is asked for in it may be any JSON
MOST_KEYS = 100
SHORTEST_RSA_BITS = 2048  # RFC 7518, section 3.3

Name = tuple[str | None, str]  # a key's id and its algorithm


@dataclass(frozen=True)
class KeySet:
    """Keys by their ids; sets are equal where they verify the same tokens."""

    keys: Mapping[Name, jwt.PyJWK]
    spelled: bytes

    def find(self, key_id: str | None, algorithm: str) -> jwt.PyJWK | None:
        """Return the key that a token names; a token that names none means the only one of its algorithm."""
        if key_id is not None:
            return self.keys.get((key_id, algorithm))
        fitting = [key for (_, its), key in self.keys.items() if its == algorithm]
        return fitting[0] if len(fitting) == 1 else None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KeySet) and self.spelled == other.spelled

    def __hash__(self) -> int:
        return hash(self.spelled)


NO_KEYS = KeySet({}, b"")


def read_key_set(body: bytes) -> KeySet:
    """Read what a provider answers; what is no key for us in it is passed over.

    Raises:
        ValueError: It is no JWK Set, or has no key that could verify a token.
    """
    document = orjson.loads(body.removeprefix(BOM_UTF8))  # as some files are served
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise ValueError("it is no JSON object with a list of `keys`")
    keys: dict[Name, jwt.PyJWK] = {}
    spelled: dict[str, Any] = {}
    for each in listed[:MOST_KEYS]:
        key = _read_key(each)
        if key is not None:
            name = (each.get("kid"), key.algorithm_name)
            keys.setdefault(name, key)
            spelled.setdefault(repr(name), each)
    if not keys:
        raise ValueError(f"it has no key for {', '.join(sorted(ALGORITHMS))}")
    return KeySet(keys, orjson.dumps(spelled, option=orjson.OPT_SORT_KEYS))


def _read_key(written: Any) -> jwt.PyJWK | None:
    """Read one key; None where it is none, or is meant for something else, or was never to be published."""
    if not isinstance(written, dict) or not isinstance(written.get("kid"), str | None):
        return None
    if not isinstance(written.get("kty"), str) or written["kty"] not in _USES:
        return None
    algorithm, curve = _USES[written["kty"]]
    operations = written.get("key_ops")
    if (
        "d" in written
        or written.get("crv") != curve
        or written.get("alg") not in (None, algorithm)
        or written.get("use") not in (None, "sig")
        or (operations is not None and not (isinstance(operations, list) and "verify" in operations))
    ):
        return None
    try:
        key = jwt.PyJWK(written, algorithm)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    return key if algorithm != "RS256" or key.key.key_size >= SHORTEST_RSA_BITS else None
