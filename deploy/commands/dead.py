"""`tripthread dead`: what could not be processed, by its reason, and what to do about it."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from getpass import getuser
from typing import Annotated, Any, TypeVar
from uuid import UUID

import typer

from deploy.terminal import plain
from services.gateway.admin.dead_letters.answers import DeadLetter, Parked, found, send_again, undecided
from services.gateway.admin.dead_letters.queries import DeadLetterQueries, LetterFilter
from shared.broker.connection import describe
from shared.configured.urls import malformed
from shared.database import DATABASE_ERRORS, open_pool
from shared.errors import TripthreadError
from shared.events import DeadLetterDropped, DeadLetterReplayed
from shared.publishing.publisher import Publisher
from shared.settings import Settings

app = typer.Typer(no_args_is_help=True, help=__doc__)

T = TypeVar("T")
Ids = Annotated[list[UUID], typer.Argument(help="as `list` shows them")]


@app.command("list")
def list_letters(
    reason: Annotated[str | None, typer.Option(help="only these, e.g. undecodable")] = None,
    state: Annotated[str, typer.Option(help="parked, replayed or dropped")] = "parked",
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
) -> None:
    """List dead letters, the newest first."""
    for letter in _run(_page(reason, state, limit)):
        what = _line(f"{letter.queue}  {letter.reason}  {letter.error}")
        typer.echo(f"{letter.id}  {letter.received_at:%Y-%m-%d %H:%M:%S}  {what}")


@app.command()
def show(dead_letter_id: UUID) -> None:
    """Print a dead letter's body, which may hold what users said: as it came, on a terminal without what steers it."""
    body = _run(_find(dead_letter_id)).body
    typer.echo(plain(body.decode(errors="backslashreplace")) if sys.stdout.isatty() else body)


@app.command()
def replay(ids: Ids) -> None:
    """Send parked messages back to the queues that they came from, as the same events."""
    _run(_decide(ids, _replay))


@app.command()
def drop(ids: Ids) -> None:
    """Decide that parked messages are not worth anything; they stay listed as dropped."""
    _run(_decide(ids, _drop))


async def _page(reason: str | None, state: str, limit: int) -> list[DeadLetter]:
    async with _letters() as letters:
        return [letter for _, letter in await letters.page(LetterFilter(reason, state), limit, None)]


async def _find(dead_letter_id: UUID) -> Parked:
    async with _letters() as letters:
        return found(await letters.find(dead_letter_id))


async def _decide(ids: list[UUID], carry_out: Callable[[Publisher, Parked, str], Awaitable[str]]) -> None:
    """Decide about one letter after the other; the first that cannot be decided about ends it."""
    operator = f"{getuser()} (tripthread)"
    async with _letters() as letters, Publisher(Settings(), "tripthread dead") as publisher:
        for dead_letter_id in ids:
            done = await carry_out(publisher, undecided(await letters.find(dead_letter_id)), operator)
            typer.echo(f"{dead_letter_id}  {done}")


async def _replay(publisher: Publisher, parked: Parked, operator: str) -> str:
    letter = parked.letter
    await send_again(publisher, parked)
    await publisher.publish(DeadLetterReplayed(dead_letter_id=letter.id, operator=operator, arrivals=letter.arrivals))
    return f"replayed to {letter.queue}"


async def _drop(publisher: Publisher, parked: Parked, operator: str) -> str:
    await publisher.publish(DeadLetterDropped(dead_letter_id=parked.letter.id, operator=operator))
    return "dropped"


@asynccontextmanager
async def _letters() -> AsyncIterator[DeadLetterQueries]:
    settings = Settings()
    if wrong := malformed("admin_database_url", settings.admin_database_url) or malformed(
        "amqp_url", settings.amqp_url
    ):
        raise ValueError(wrong)
    async with open_pool(settings.admin_database_url, "tripthread dead", 1) as pool:
        yield DeadLetterQueries(pool)


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Do it, or end with what is wrong."""
    try:
        return asyncio.run(work)
    except (TripthreadError, ValueError, *DATABASE_ERRORS) as error:
        typer.echo(f"tripthread dead: {plain(_why(error))}", err=True)
        raise typer.Exit(1) from error


def _why(error: Exception) -> str:
    if isinstance(error, TripthreadError):
        return error.detail
    return str(error) if type(error) is ValueError else f"the database: {describe(error)}"


def _line(text: str) -> str:
    """Keep what a stranger wrote in one line, and its control characters from the terminal."""
    return "".join(character if character.isprintable() else " " for character in text)
