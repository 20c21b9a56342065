"""`tripthread dead`: what could not be processed, by its reason, and what to do about it."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from getpass import getuser
from typing import Annotated, Any, TypeVar
from uuid import UUID

import typer

from services.gateway.dead_letter import DeadLetter, Parked, send_again
from services.gateway.reading.dead_letters import DeadLetters
from shared.database import open_pool
from shared.errors import TripthreadError
from shared.events import DeadLetterDropped, DeadLetterReplayed
from shared.publisher import Publisher
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
    for letter in asyncio.run(_page(reason, state, limit)):
        typer.echo(
            f"{letter.id}  {letter.received_at:%Y-%m-%d %H:%M:%S}  {letter.queue}  {letter.reason}  {letter.error}"
        )


@app.command()
def show(dead_letter_id: UUID) -> None:
    """Print a dead letter's body as it came, which may hold what users said."""

    async def find() -> Parked:
        async with _letters() as letters:
            return await _find(letters, dead_letter_id)

    typer.echo(_run(find()).body)


@app.command()
def replay(ids: Ids) -> None:
    """Send parked messages back to the queues that they came from, as the same events."""
    _run(_decide(ids, replayed=True))


@app.command()
def drop(ids: Ids) -> None:
    """Decide that parked messages are not worth anything; they stay listed as dropped."""
    _run(_decide(ids, replayed=False))


async def _page(reason: str | None, state: str, limit: int) -> list[DeadLetter]:
    async with _letters() as letters:
        return [letter for _, letter in await letters.page(reason=reason, state=state, limit=limit, before=None)]


async def _decide(ids: list[UUID], *, replayed: bool) -> None:
    settings, operator = Settings(), f"{getuser()} (tripthread)"
    decision = DeadLetterReplayed if replayed else DeadLetterDropped
    async with _letters() as letters, Publisher(settings, "tripthread dead") as publisher:
        for dead_letter_id in ids:
            parked = await _find(letters, dead_letter_id)
            # Made before the message is sent: should that come back at once, it comes back later than this.
            event = decision(dead_letter_id=dead_letter_id, operator=operator)
            if replayed:
                await send_again(publisher, parked)
            await publisher.publish(event)
            typer.echo(f"{dead_letter_id}  {'replayed to ' + parked.letter.queue if replayed else 'dropped'}")


async def _find(letters: DeadLetters, dead_letter_id: UUID) -> Parked:
    parked = await letters.find(dead_letter_id)
    if parked is None:
        raise typer.BadParameter(f"there is no dead letter {dead_letter_id}")
    return parked


@asynccontextmanager
async def _letters() -> AsyncIterator[DeadLetters]:
    async with open_pool(Settings().admin_database_url, "tripthread dead", 1) as pool:
        yield DeadLetters(pool)


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Do it, or end with what is wrong."""
    try:
        return asyncio.run(work)
    except TripthreadError as error:
        typer.echo(f"tripthread dead: {error.detail}", err=True)
        raise typer.Exit(1) from error
