"""Bring a database to a revision: roles and rights first, then Alembic as the NOLOGIN owner, one at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import psycopg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from deploy.rights import LOCK_TABLE, OWNER, SERVICE_URLS, prepare_database
from shared.settings import Settings

__all__ = ["LOCK_TABLE", "MIGRATIONS", "SERVICE_URLS", "TROUBLES", "downgrade", "explain", "is_known", "migrate"]

MIGRATIONS = Path(__file__).parent / "migrations"
# What an operator can put right: a URL that is none, a server that refuses, a revision that is not there.
TROUBLES = (ValueError, ArgumentError, CommandError, DBAPIError, psycopg.Error)
_ATTEMPTS = 10
# Another first migration was quicker: nothing can be locked before it is there.
_OVERTAKEN = (
    psycopg.errors.UniqueViolation,
    psycopg.errors.DuplicateObject,
    psycopg.errors.DuplicateSchema,
    psycopg.errors.DuplicateTable,
    psycopg.errors.InternalError_,  # "tuple concurrently updated": roles are the whole server's
)


def migrate(settings: Settings) -> list[str]:
    """Create or adjust the roles, bring the schema up to date; return what could not be closed, in words.

    Raises:
        ValueError: DATABASE_URL is not set, a service's URL names no role that the grants know, or the database
            is ahead of this code.
    """
    with _as_owner(settings) as (config, notes):
        command.upgrade(config, "head")
    return notes


def downgrade(settings: Settings, revision: str) -> list[str]:
    """Take the schema, and what is stored in it, back to `revision`; `base` leaves nothing."""
    with _as_owner(settings) as (config, notes):
        command.downgrade(config, revision)
    return notes


def is_known(revision: str) -> bool:
    """Whether the code has such a revision; it has none that a later version made."""
    return revision in {script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions()}


def explain(error: BaseException) -> str:
    """Say one of TROUBLES in a sentence."""
    if isinstance(error, ArgumentError):
        return "DATABASE_URL is not a URL: postgresql://user:password@host:5432/database"
    if isinstance(error, DBAPIError):
        return f"DATABASE_URL: {str(error.orig).strip()}"
    return str(error).strip()


@contextmanager
def _as_owner(settings: Settings) -> Iterator[tuple[Config, list[str]]]:
    settings.checked_for("migrate")
    engine = create_engine(make_url(settings.database_url).set(drivername="postgresql+psycopg"))
    try:
        with engine.connect() as connection:
            notes = _prepare(connection, settings)
            connection.execute(text(f"SET ROLE {OWNER}"))
            # Until the end of the transaction, which the whole migration is.
            connection.execute(text(f"LOCK TABLE {LOCK_TABLE} IN SHARE ROW EXCLUSIVE MODE"))
            _require_known_revision(connection)
            config = Config()
            config.set_main_option("script_location", str(MIGRATIONS))
            config.attributes["connection"] = connection
            yield config, notes
            connection.commit()
    finally:
        engine.dispose()


def _prepare(connection: Connection, settings: Settings) -> list[str]:
    driver = cast("psycopg.Connection", connection.connection.driver_connection)
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with connection.begin():
                return prepare_database(driver, settings)
        except _OVERTAKEN:
            if attempt == _ATTEMPTS:
                raise
    raise AssertionError


def _require_known_revision(connection: Connection) -> None:
    if connection.execute(text("SELECT to_regclass('tripthread.revision')")).scalar() is None:
        return
    current = connection.execute(text("SELECT version_num FROM tripthread.revision")).scalar()
    if current is not None and not is_known(current):
        raise ValueError(
            f"the database is at revision {current}, which this version of Tripthread does not have: a later one "
            "migrated it. Run that version, or restore a dump from before"
        )
