"""`tripthread trips`: what an operator decides about trips."""

import asyncio
from collections.abc import Coroutine
from getpass import getuser
from typing import Annotated, Any, TypeVar

import typer
from pydantic import TypeAdapter, ValidationError

from deploy.terminal import plain
from services.gateway.trips.holders import HeldTrip, held_trip
from services.gateway.trips.ordering.order import TripName
from shared.broker.connection import describe
from shared.configured.urls import malformed
from shared.database import DATABASE_ERRORS, open_pool
from shared.errors import NoSuchTrip, TripthreadError
from shared.events import TripReleased
from shared.publishing.publisher import Publisher
from shared.settings import Settings

app = typer.Typer(no_args_is_help=True, help=__doc__)

Name = Annotated[str, typer.Argument(help="our id, Avinode's (`atrip-...`), or the code that people see")]
T = TypeVar("T")


@app.callback()
def trips() -> None:
    """Decide about trips."""


@app.command()
def release(name: Name) -> None:
    """Take a trip from whoever holds it now, who may not attach it again; the next who attaches it has it."""
    held = _run(_release(name))
    typer.echo(plain(f"{held.trip_id}  released from {', '.join(held.user_ids)}"))


async def _release(name: str) -> HeldTrip:
    settings = Settings()
    for setting in ("admin_database_url", "amqp_url"):
        if wrong := malformed(setting, getattr(settings, setting)):
            raise ValueError(wrong)
    trip_name = _read(name)
    async with open_pool(settings.admin_database_url, "tripthread trips", 1) as pool:
        held = await held_trip(pool, trip_name)
    if held is None:
        raise NoSuchTrip
    if not held.user_ids:
        raise ValueError(f"nobody holds the trip {held.trip_id}")
    operator = f"{getuser()} (tripthread)"
    async with Publisher(settings, "tripthread trips") as publisher:
        await publisher.publish(TripReleased(trip_id=held.trip_id, user_ids=tuple(held.user_ids), operator=operator))
    return held


def _read(name: str) -> Any:
    try:
        return TypeAdapter(TripName).validate_python(name)
    except ValidationError as error:
        raise ValueError(error.errors()[0]["msg"].removeprefix("Value error, ")) from error


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Do it, or end with what is wrong."""
    try:
        return asyncio.run(work)
    except (TripthreadError, ValueError, *DATABASE_ERRORS) as error:
        typer.echo(f"tripthread trips: {plain(_why(error))}", err=True)
        raise typer.Exit(1) from error


def _why(error: Exception) -> str:
    if isinstance(error, TripthreadError):
        return error.detail
    return str(error) if type(error) is ValueError else f"the database: {describe(error)}"
