"""Bring a database to a revision: roles first, then Alembic as the NOLOGIN owner, under an advisory lock."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast
from urllib.parse import unquote, urlsplit

import psycopg
from alembic import command
from alembic.config import Config
from psycopg import sql
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import make_url

from shared.settings import Settings

OWNER = "tripthread_owner"
MIGRATIONS = Path(__file__).parent / "migrations"
LOCK = 7_470_951_386  # any number, so long as it is always the same
SERVICE_URLS = (
    "gateway_database_url",
    "reader_database_url",
    "admin_database_url",
    "logger_database_url",
    "tagger_database_url",
    "workflow_database_url",
)


def migrate(settings: Settings) -> None:
    """Create or adjust the roles, then bring the schema up to date.

    Raises:
        ValueError: DATABASE_URL is not set, or a service's URL names no role that the grants know.
    """
    with _as_owner(settings) as config:
        command.upgrade(config, "head")


def downgrade(settings: Settings, revision: str) -> None:
    """Take the schema, and what is stored in it, back to `revision`; `base` leaves nothing."""
    with _as_owner(settings) as config:
        command.downgrade(config, revision)


@contextmanager
def _as_owner(settings: Settings) -> Iterator[Config]:
    settings.checked_for("migrate")
    engine = create_engine(make_url(settings.database_url).set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": LOCK})
        _create_roles(_driver(connection), settings)
        connection.execute(text(f"SET ROLE {OWNER}"))
        connection.execute(text("CREATE SCHEMA IF NOT EXISTS tripthread"))
        connection.commit()
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        yield config
    engine.dispose()


def _driver(connection: Connection) -> psycopg.Connection:
    return cast("psycopg.Connection", connection.connection.driver_connection)


def _create_roles(connection: psycopg.Connection, settings: Settings) -> None:
    """Make the owner and the login role of each service's URL; where they exist, set their passwords."""
    database = sql.Identifier(connection.info.dbname)
    _ensure_role(connection, OWNER, "NOLOGIN")
    connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(sql.Identifier(OWNER)))
    connection.execute(sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(database, sql.Identifier(OWNER)))
    for name in SERVICE_URLS:
        url = urlsplit(getattr(settings, name))
        expected = f"tripthread_{name.removesuffix('_database_url')}"
        if url.username != expected or not url.password:
            raise ValueError(f"{name.upper()} must log in as {expected}, with a password")
        _ensure_role(connection, expected, "LOGIN", unquote(url.password))


def _ensure_role(connection: psycopg.Connection, role: str, login: str, password: str | None = None) -> None:
    exists = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone()
    statement = sql.SQL("{} ROLE {} {} PASSWORD {}").format(
        sql.SQL("ALTER" if exists else "CREATE"), sql.Identifier(role), sql.SQL(login), sql.Literal(password)
    )
    connection.execute(statement)
