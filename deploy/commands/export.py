"""`tripthread export`: all that is kept of one person, in a file; recorded as read by whoever asks."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EEXIST
from functools import partial
from getpass import getuser
from pathlib import Path
from typing import BinaryIO

from services.gateway.account.recording import Reading, Recording, database_clock
from services.gateway.account.visitors.store import LinkStore
from services.gateway.privacy.export import first_line, last_line
from services.gateway.privacy.pages import PATIENCE_S, ExportReader, read_page
from shared.backoff import patiently
from shared.configured.urls import malformed
from shared.database import READ_STATEMENT_TIMEOUT_MS, Pool, is_away, open_pool
from shared.ids import new_id
from shared.publishing.publisher import Publisher
from shared.settings import Settings

NAME = "tripthread export"
STDOUT = Path("-")
PART = ".part"  # behind the name of a file that is not whole
LONGEST_NAME = 255
LONGEST_REASON = 500
_URLS = ("gateway_database_url", "reader_database_url", "admin_database_url", "amqp_url")


async def export(settings: Settings, user_id: str, to: Path, reason: str | None = None) -> int:
    """Write the export of a user, or of a visitor, to a new file that only we may read.

    Args:
        settings: Where the database and the broker are.
        user_id: Of whom; what they had as visitors is in it.
        to: The file, which is not there yet, and afterwards only where it is whole; or `STDOUT`.
        reason: Why, for the record.

    Returns:
        How many rows it has.

    Raises:
        ValueError: A setting or an argument is wrong, or the file cannot be written.
        Forbidden: Administrators read no bodies here.
        BrokerAway: It cannot be recorded, so nothing was read.
    """
    _check(settings, user_id, reason)
    async with (
        open_pool(settings.gateway_database_url, NAME, 1) as own,
        open_pool(settings.reader_database_url, NAME, 1, statement_timeout_ms=READ_STATEMENT_TIMEOUT_MS) as reader,
        open_pool(settings.admin_database_url, NAME, 1) as admin,
        Publisher(settings, NAME) as publisher,
    ):
        record = await _record(settings, publisher, admin, reason)
        record.require_bodies()
        owners = [user_id, *await LinkStore(own).of(user_id)]
        with _new_file(to) as file:
            await record.record("export", owners)
            return await _write(file, owners, ExportReader(partial(read_page, reader), owners))


async def _record(settings: Settings, publisher: Publisher, admin: Pool, reason: str | None) -> Reading:
    """Begin the record of a reading by whoever runs this."""
    shows_bodies = settings.admins_read_bodies
    recording = Recording(publisher, partial(database_clock, admin), shows_bodies=shows_bodies)
    query = {"path": NAME} | ({"reason": reason} if reason else {})
    at = await database_clock(admin) if shows_bodies else None
    return Reading(recording, f"{getuser()} (tripthread)", new_id(), query, at)


async def _write(file: BinaryIO, owners: list[str], reader: ExportReader) -> int:
    _put(file, first_line(owners))
    while not reader.is_done:
        _put(file, await patiently(reader.next_lines, is_away, PATIENCE_S))
    _put(file, last_line(reader.rows))
    return reader.rows


def _put(file: BinaryIO, lines: bytes) -> None:
    with _told(Path(str(file.name))):
        file.write(lines)
        file.flush()


@contextmanager
def _new_file(to: Path) -> Iterator[BinaryIO]:
    """Make a file for its owner alone, which is there once the block has ended well.

    Until then it is called otherwise, so that what is left of a process that was killed is not taken for it.
    """
    if to == STDOUT:
        yield sys.stdout.buffer
        return
    part = to.with_name(f"{to.name}{PART}")
    with _told(to):
        if to.exists():
            raise FileExistsError(EEXIST, os.strerror(EEXIST))
    with _told(part):
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "wb") as file:
            yield file
            with _told(part):
                os.fsync(file.fileno())
        with _told(to):
            os.link(part, to)  # which never replaces a file, as a renaming does
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Say of which file an error is, which would else be taken for the database's."""
    try:
        yield
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from error


def _check(settings: Settings, user_id: str, reason: str | None) -> None:
    if not 1 <= len(user_id) <= LONGEST_NAME or not user_id.isprintable():
        raise ValueError(f"a user id has 1 to {LONGEST_NAME} printable characters")
    if reason is not None and not (1 <= len(reason) <= LONGEST_REASON and reason.isprintable()):
        raise ValueError(f"a reason has 1 to {LONGEST_REASON} printable characters")
    for setting in _URLS:
        if wrong := malformed(setting, getattr(settings, setting)):
            raise ValueError(wrong)
