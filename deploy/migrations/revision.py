"""Run one revision's SQL; a revision file says only its number and name."""

from pathlib import Path
from typing import cast

from alembic import op
from psycopg import Connection

SQL = Path(__file__).parent / "sql"


def up(name: str) -> None:
    _execute(f"{name}.up.sql")


def down(name: str) -> None:
    _execute(f"{name}.down.sql")


def _execute(file: str) -> None:
    # The driver's own connection sends the text as it stands: no `:name` or `%` in it is taken for a parameter.
    driver = cast("Connection", op.get_bind().connection.driver_connection)
    driver.execute((SQL / file).read_bytes())
