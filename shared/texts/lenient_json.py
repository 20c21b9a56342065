"""Read the JSON of a system that is not ours: whatever a person could read in it, and never more than was agreed. Pure.

`orjson`, which reads what our own callers send, refuses a whole body for one lone surrogate in a message.
"""

import json
import zlib
from typing import Any

GZIP = b"\x1f\x8b"  # no JSON begins so
ANY_HEADER = zlib.MAX_WBITS | 32  # zlib's own word for "gzip or zlib"


class Unreadable(ValueError):
    """Not JSON, in any way that we know to read it."""


def read_json(content: bytes, *, encoding: str = "", most: int | None = None) -> Any:
    """Read a body in UTF-8, -16 or -32, with or without a byte order mark, else in Latin-1; NaN is a number in it.

    Args:
        content: As it came.
        encoding: Its `Content-Encoding`; gzip is known by itself, since some leave the header out.
        most: Bytes that it may have inflated, the same as it may have plain.

    Raises:
        Unreadable: It is no JSON, is nested too deeply, or is too much; the text says which.
    """
    try:
        return json.loads(_text(_inflated(content, encoding, most)), strict=False)
    except RecursionError:
        raise Unreadable("nested too deeply") from None
    except Unreadable:
        raise
    except ValueError:  # also a number of more digits than Python reads
        raise Unreadable("not JSON") from None


def _text(content: bytes) -> str:
    try:
        return content.decode(json.detect_encoding(content), "surrogatepass")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _inflated(content: bytes, encoding: str, most: int | None) -> bytes:
    if not content.startswith(GZIP) and encoding.strip().lower() != "deflate":
        return content
    inflating = zlib.decompressobj(ANY_HEADER)
    try:
        inflated = inflating.decompress(content, 0 if most is None else most + 1)
    except zlib.error:
        raise Unreadable("not in the encoding that it names") from None
    if most is not None and len(inflated) > most:
        raise Unreadable(f"more than {most} bytes when inflated")
    if not inflating.eof:
        raise Unreadable("cut off in the middle")
    return inflated
