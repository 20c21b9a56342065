"""How ids are made: ours are UUIDv7, and what follows from something else is a uuid5 of it.

A derived id makes a repeat harmless: the same cause makes the same child again.
"""

import re
from functools import lru_cache
from hashlib import sha256
from uuid import UUID

from uuid_utils.compat import uuid5, uuid7

# What a client may call a session or a message.
CLIENT_ID = r"^[A-Za-z0-9_-]{1,64}$"

NAMESPACE = UUID("6f1a1f0e-7b5e-5c5e-9d0a-7a3c1f3b2d64")
_CLIENT_ID = re.compile(CLIENT_ID)


def is_client_id(text: str) -> bool:
    """Tell whether a client may call something so."""
    return _CLIENT_ID.fullmatch(text) is not None


def new_id() -> UUID:
    """Make an id that sorts by time of making."""
    return uuid7()


def derived_id(cause: UUID, name: str) -> UUID:
    """Name what follows from `cause`; `name` tells its several children apart."""
    return uuid5(cause, name)


@lru_cache(maxsize=1024)  # a turn asks several times
def answer_id(turn_id: UUID, attempt: int) -> UUID:
    """Name the answer of one attempt at a turn."""
    return uuid5(turn_id, str(attempt))


def reserved_session(batch_id: UUID, place: int) -> str:
    """Name one of the sessions that a batch reserves."""
    return str(uuid5(batch_id, str(place)))


@lru_cache(maxsize=1024)  # each question asks, and there are few models
def model_id(provider: str, name: str) -> UUID:
    """Name a model: the same provider and name are the same model everywhere."""
    return uuid5(NAMESPACE, f"model/{scoped(provider, name)}")


def spell_number(number: int) -> str:
    """Spell a session's number as its tag and its label do: three digits at least, the thousandth has four."""
    return f"{number:03d}"


def upstream_thread_id(user_id: str, session_id: str) -> UUID:
    """Name a session towards the model's service, which must learn neither user nor session id."""
    return uuid5(NAMESPACE, f"thread/{scoped(user_id, session_id)}")


def scoped(owner: str, name: str) -> str:
    """Spell a pair unambiguously: the length keeps `a/b` + `c` apart from `a` + `b/c`."""
    return f"{len(owner)}:{owner}/{name}"


def secret_hash(secret: str) -> bytes:
    """Hash a secret that has more chance in it than anybody can try out: a key, a cookie, a link's token.

    Rows are found by it, so that how long that takes tells nothing of any secret.
    """
    return sha256(secret.encode()).digest()


def user_hash(user_id: str) -> bytes:
    """Hash a user for the ledgers of erasures, which must not name anybody."""
    return sha256(f"tripthread/user/{user_id}".encode()).digest()
