"""Other systems than Avinode that may post to us: each has a name and secrets, as Standard Webhooks has them. Pure."""

import re
from base64 import b64decode
from collections import defaultdict
from collections.abc import Mapping

from pydantic import SecretStr

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_PREFIX = "whsec_"
SHORTEST, LONGEST = 24, 64  # bytes of a secret: https://www.standardwebhooks.com, "Signature scheme"
OWN_ROUTE = "avinode"


def read_senders(text: str) -> Mapping[str, tuple[str, ...]]:
    """Read `name=whsec_...,name=whsec_...`; a name that stands twice has two secrets, while one replaces the other.

    Raises:
        ValueError: It is not so; the text shows no secret.
    """
    secrets: defaultdict[str, list[str]] = defaultdict(list)
    for place, entry in enumerate(filter(None, map(str.strip, text.split(","))), 1):
        name, _, secret = entry.partition("=")
        if not _NAME.fullmatch(name) or name == OWN_ROUTE:
            raise ValueError(f"the name of entry {place} is not 1 to 64 of A-Za-z0-9._-, or is {OWN_ROUTE!r}")
        if not SHORTEST <= _size(secret) <= LONGEST:
            raise ValueError(f"the secret of entry {place} is not {SHORTEST} to {LONGEST} bytes in base64")
        secrets[name].append(secret)
    return {name: tuple(each) for name, each in secrets.items()}


def checked_senders(text: SecretStr) -> SecretStr:
    """Return it where it can be read."""
    read_senders(text.get_secret_value())
    return text


def _size(secret: str) -> int:
    digits = secret.removeprefix(_PREFIX).rstrip("=")  # some senders leave the padding out
    try:
        return len(b64decode(digits + "=" * (-len(digits) % 4), validate=True))
    except ValueError:
        return 0
