"""What a service compresses although nobody asked for that: unpacked as it comes, a little at a time."""

import zlib

ZLIB, GZIP, BARE = 15, 31, -15  # formats, as zlib numbers them
GZIPS = ("gzip", "x-gzip")
DEFLATE = "deflate"  # in a zlib stream, as HTTP has it, or bare, as some have understood it
OTHERS = ("br", "zstd", "compress", "x-compress")  # which nobody here can unpack
MOST_AT_ONCE = 256 * 1024  # bytes that one piece becomes; the rest of it waits


def is_packed(encoding: str) -> bool:
    """Tell whether a body is compressed; some services name there what is none, as `none` or `utf-8`."""
    names = {name.strip() for name in encoding.lower().split(",")}
    return not names.isdisjoint((*GZIPS, DEFLATE, *OTHERS))


class Unpacking:
    """A body that is being unpacked."""

    def __init__(self, encoding: str) -> None:
        """Begin one.

        Raises:
            ValueError: Nobody here can unpack what is encoded so.
        """
        name = encoding.strip().lower()
        if name not in (*GZIPS, DEFLATE):
            raise ValueError(f"it is encoded as {name[:20]!r}")
        self._unpacker = zlib.decompressobj(GZIP) if name in GZIPS else None  # none: the first byte tells which it is
        self._packed = b""
        self.has_more = False  # of what was taken

    def take(self, packed: bytes) -> bool:
        """Take what comes next; tell whether that is anything."""
        if packed and self._unpacker is None:
            self._unpacker = zlib.decompressobj(ZLIB if packed[0] & 0x0F == zlib.DEFLATED else BARE)
        self._packed += packed
        self.has_more = bool(packed)
        return self.has_more

    def unpack(self) -> bytes:
        """Return the next of what was taken, which may be nothing yet.

        Raises:
            ValueError: It only says that it is compressed.
        """
        assert self._unpacker is not None  # noqa: S101 - something was taken
        try:
            data = self._unpacker.decompress(self._packed, MOST_AT_ONCE)
        except zlib.error as error:
            raise ValueError(str(error)) from error
        self._packed = self._unpacker.unconsumed_tail
        self.has_more = bool(self._packed) or len(data) == MOST_AT_ONCE
        return data
