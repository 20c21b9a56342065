"""`tripthread`: the one command of the one image; the sub-command picks what it does.

Each imports what it alone needs when it runs, so that a service does not carry the operators' tools in its memory.
"""

import asyncio
import gc
import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Annotated, Literal

import structlog
import typer
import uvloop
from pydantic import ValidationError

from deploy.terminal import plain
from shared.settings import Misconfigured, Settings

ABOUT = "Tripthread: the one command of the one image; the sub-command picks what it does."

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=ABOUT)


@app.callback()
def quiet(context: typer.Context) -> None:
    """Keep the libraries' own notes out of a command's output; a service configures its logs itself."""
    if context.invoked_subcommand != "serve":
        logging.basicConfig(level=logging.CRITICAL)
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))


ServiceName = Literal["gateway", "logger", "tagger", "workflow"]
LONGEST_LINK = timedelta(hours=24)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def settings_for(part: str) -> Settings:
    """Read the settings of a service, with its own login at the broker, or end with what is wrong with them."""
    try:
        settings = Settings()
        return (settings if part == "migrate" else settings.as_service(part)).checked_for(part)
    except (ValidationError, ValueError) as error:
        typer.echo(f"tripthread: {error}", err=True)
        raise typer.Exit(2) from error


def import_uncollected(name: str) -> ModuleType:
    """Import what stays: to collect meanwhile is to go through it again and again, a sixth of a gateway's start."""
    gc.disable()
    try:
        return import_module(name)
    finally:
        gc.enable()


@app.command()
def serve(service: Annotated[ServiceName, typer.Argument(help="which service this process is")]) -> None:
    """Run one service until SIGTERM."""
    from shared.pooler import refuse_shared_sessions

    settings = settings_for(service)
    main = import_uncollected(f"services.{service}.app").main

    async def run() -> str | None:
        try:
            await refuse_shared_sessions(settings, service)
        except ValueError as error:
            return str(error)
        try:
            await main(settings)
        except Misconfigured as error:
            return plain(str(error))
        return None

    if refusal := uvloop.run(run()):
        typer.echo(f"tripthread: {service} cannot run: {refusal}", err=True)
        raise typer.Exit(2)


@app.command()
def migrate(
    down_to: Annotated[str, typer.Option(help="go back to this revision; `base` deletes everything stored")] = "",
) -> None:
    """Create the roles and bring the database's schema up to date; make what is missing at the broker of AMQP_URL."""
    from deploy import migrate as migrations

    settings = settings_for("migrate")
    try:
        notes = migrations.downgrade(settings, down_to) if down_to else migrations.migrate(settings)
    except migrations.TROUBLES as error:
        typer.echo(f"tripthread migrate: {plain(migrations.explain(error))}", err=True)
        raise typer.Exit(1) from error
    for note in notes:
        typer.echo(f"note: {note}")
    typer.echo(f"the schema is at {down_to or 'head'}")
    if not down_to and "amqp_url" in settings.model_fields_set:
        _prepare_broker(settings)


def _prepare_broker(settings: Settings) -> None:
    from deploy import logins as broker

    try:
        typer.echo(asyncio.run(broker.prepare_broker(settings)))
    except broker.TROUBLES as error:
        typer.echo(f"tripthread migrate: the broker: {plain(str(error) or type(error).__name__)}", err=True)
        raise typer.Exit(1) from error


@app.command()
def logins(
    definitions: Annotated[
        bool, typer.Option(help="print JSON for `rabbitmqctl import_definitions`, with the passwords of *_AMQP_URL")
    ] = False,
    vhost: Annotated[str, typer.Option(help="the virtual host of these steps")] = "/",
) -> None:
    """Print the steps that make the services' logins at a broker; `migrate` takes them where AMQP_MANAGEMENT_URL is."""
    import json

    from deploy import logins as broker

    try:
        text = json.dumps(broker.definitions(Settings())) if definitions else "\n".join(broker.steps(vhost))
    except (ValidationError, ValueError) as error:
        typer.echo(f"tripthread logins: {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo(text)


@app.command()
def token(
    user: Annotated[str, typer.Option(help="the user id, `sub` in the token")],
    role: Annotated[Literal["user", "service", "admin"], typer.Option()] = "user",
    expires: Annotated[str | None, typer.Option(help="a number and s, m, h or d; by default 1h, of a link 15m")] = None,
    link: Annotated[bool, typer.Option("--link", help="a link that signs a browser in, once")] = False,
    url: Annotated[
        str, typer.Option(envvar="TRIPTHREAD_URL", help="of a link: where browsers reach the gateway")
    ] = "http://127.0.0.1:8080",
) -> None:
    """Print a JWT that the gateway accepts, or a one-time link that signs a browser in."""
    import jwt

    from services.gateway.account.logins.links import login_link
    from services.gateway.account.tokens.claims import may_be_named

    settings = Settings()
    lasts = _duration(expires if expires is not None else "15m" if link else "1h")
    if not may_be_named(user):
        raise typer.BadParameter("a user has 1 to 255 printable characters, and is no visitor", param_hint="--user")
    if not lasts:
        raise typer.BadParameter("it would be over at once", param_hint="--expires")
    if link:
        if lasts > LONGEST_LINK:
            raise typer.BadParameter("a link is good for 24h at most", param_hint="--expires")
        typer.echo(login_link(settings, url, user, role, lasts.total_seconds()))
        return
    if settings.hs256_secret is None:
        typer.echo("tripthread token: JWT_SECRET is not set, so the identity provider signs: take --link", err=True)
        raise typer.Exit(2)
    now = datetime.now(UTC)
    claims = {"sub": user, "role": role, "iat": now, "exp": now + lasts}
    claims |= {name: value for name, value in (("aud", settings.jwt_audience), ("iss", settings.jwt_issuer)) if value}
    typer.echo(jwt.encode(claims, settings.hs256_secret, algorithm="HS256"))


@app.command()
def doctor() -> None:
    """Say what is wrong with a running stack; the exit status is 1 where something is."""
    from deploy.doctor import examine

    async def report() -> bool:
        well = True
        async for finding in examine(Settings()):
            mark = "ok " if finding.trouble is None else "BAD"
            typer.echo(plain(f"{mark}  {finding.subject}: {finding.detail}"))
            if finding.trouble is not None:
                typer.echo(plain(f"     {finding.trouble}"))
                well = False
        return well

    if not asyncio.run(report()):
        raise typer.Exit(1)


@app.command()
def models(
    list_only: Annotated[bool, typer.Option("--list", help="ask none of them: a question costs a few tokens")] = False,
) -> None:
    """Show which models are configured, and which of them answer; the exit status is 1 where one does not."""
    from deploy.commands.models import table

    try:
        rows = asyncio.run(table(Settings(), ask=not list_only))
    except Misconfigured as error:
        typer.echo(f"tripthread models: {plain(str(error))}", err=True)
        raise typer.Exit(2) from error
    _print_table([row.cells for row in rows])
    if any(row.is_trouble for row in rows):
        raise typer.Exit(1)


@app.command()
def erase(
    user: Annotated[str, typer.Option(help="the user id, `sub` in their tokens, or a visitor's id")],
    status: Annotated[bool, typer.Option("--status", help="erase nothing, only say how far it has come")] = False,
    wait: Annotated[str, typer.Option(help="how long to wait until it is done: a number and s, m, h or d")] = "30s",
) -> None:
    """Erase everything that a user has here until now; the exit status is 2 where it is not done yet."""
    from deploy.commands.erase import erase as begin
    from shared.broker.connection import describe
    from shared.database import DATABASE_ERRORS

    try:
        state = asyncio.run(begin(Settings(), user, only_look=status, wait_s=_duration(wait).total_seconds()))
    except (ValueError, *DATABASE_ERRORS) as error:
        why = str(error) if type(error) is ValueError else f"the database: {describe(error)}"
        typer.echo(f"tripthread erase: {plain(why)}", err=True)
        raise typer.Exit(1) from error
    left = [service for service, is_done in state.services.items() if not is_done]
    at = f" of {state.erased_at:%Y-%m-%d %H:%M:%S}Z" if state.erased_at else ""
    typer.echo(plain(f"{user}: {state.status}{at}" + (f", not done by {', '.join(left)}" if left else "")))
    if state.status == "pending":
        raise typer.Exit(2)


def _left(to: Path) -> str:
    """Say what is left of an export that has failed."""
    return "what was written is not whole" if str(to) == "-" else "no file was made"


@app.command()
def export(
    user: Annotated[str, typer.Option(help="the user id, `sub` in their tokens, or a visitor's id")],
    to: Annotated[Path, typer.Option(help="a new file, which only you may read; - is standard output")],
    reason: Annotated[str | None, typer.Option(help="why, for the record")] = None,
) -> None:
    """Write all that is kept of a user to a file; it is recorded first that you read it, and they can see that."""
    from deploy.commands.export import export as write
    from shared.broker.connection import describe
    from shared.database import DATABASE_ERRORS
    from shared.errors import TripthreadError

    try:
        rows = asyncio.run(write(Settings(), user, to, reason))
    except TripthreadError as error:
        typer.echo(f"tripthread export: {plain(error.detail)}", err=True)
        raise typer.Exit(1) from error
    except (ValueError, TimeoutError, *DATABASE_ERRORS) as error:
        why = str(error) if type(error) is ValueError else f"the database: {describe(error)}"
        typer.echo(f"tripthread export: {plain(why)}: {_left(to)}", err=True)
        raise typer.Exit(1) from error
    typer.echo(plain(f"{user}: {rows} rows"), err=True)


@app.command()
def verify(
    fix: Annotated[
        bool, typer.Option("--fix", help="recompute counts, previews and places, and raise counters; nothing else")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="a line of JSON for each finding")] = False,
) -> None:
    """Recount tags, counters, messages, previews, places and orphans; the exit status is 1 where something is left."""
    import json
    from dataclasses import asdict

    from deploy.commands.verify import verify as find
    from shared.broker.connection import describe
    from shared.database import DATABASE_ERRORS

    async def report() -> tuple[int, int]:
        found = mended = 0
        async for finding, is_mended in find(Settings(), fix=fix):
            found, mended = found + 1, mended + is_mended
            whose = f" of {finding.user_id}" if finding.user_id else ""
            what = f"{finding.kind}: {finding.subject}{whose}: {finding.found}, not {finding.expected}"
            done = " (mended)" if is_mended else ""
            typer.echo(json.dumps(asdict(finding) | {"mended": is_mended}) if as_json else plain(what + done))
        return found, mended

    try:
        found, mended = asyncio.run(report())
    except (ValueError, TimeoutError, *DATABASE_ERRORS) as error:
        why = str(error) if type(error) is ValueError else f"the database: {describe(error)}"
        typer.echo(f"tripthread verify: {plain(why)}", err=True)
        raise typer.Exit(2) from error
    if not as_json:
        typer.echo(f"{found} found, {mended} mended" if found else "all is as it should be")
    if found > mended:
        raise typer.Exit(1)


@app.command()
def retention(
    days: Annotated[
        int | None, typer.Option(min=1, max=36500, help="count as if what is kept for ever went after so many days")
    ] = None,
) -> None:
    """Show how long what is stored is kept, and how much of it would go now; nothing goes by this command."""
    from deploy.commands.retention import HEADS, Old, look
    from shared.broker.connection import describe
    from shared.database import DATABASE_ERRORS

    async def count() -> list[Old]:
        return [old async for old in look(settings, days)]

    try:
        settings = Settings()
        found = asyncio.run(count())
    except (ValueError, TimeoutError, *DATABASE_ERRORS) as error:
        known = isinstance(error, ValueError)
        typer.echo(
            f"tripthread retention: {plain(str(error) if known else f'the database: {describe(error)}')}", err=True
        )
        raise typer.Exit(2) from error
    _print_table([HEADS, *(old.cells for old in found)])
    for old in found:
        if old.missed:
            typer.echo(f"{old.missed} of these {old.name.replace('_', ' ')} would be lost: nothing else keeps them")


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        typer.echo(plain("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()))


_ANY = {"allow_extra_args": True, "ignore_unknown_options": True}


@app.command(add_help_option=False, context_settings=_ANY)
def dead(context: typer.Context) -> None:
    """List, show, replay or drop what could not be processed."""
    from deploy.commands.dead import app as commands

    _hand_on(commands, "dead", context)


@app.command(add_help_option=False, context_settings=_ANY)
def trips(context: typer.Context) -> None:
    """Release a trip that somebody holds who was not to have it."""
    from deploy.commands.trips import app as commands

    _hand_on(commands, "trips", context)


@app.command(add_help_option=False, context_settings=_ANY)
def avinode(context: typer.Context) -> None:
    """See which notices Avinode sends us, and set them up; ends non-zero where some reach nobody here."""
    from deploy.commands.avinode import app as commands

    _hand_on(commands, "avinode", context)


def _hand_on(commands: typer.Typer, name: str, context: typer.Context) -> None:
    whole = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    whole.add_typer(commands, name=name)
    whole([name, *context.args], prog_name="tripthread")


def _duration(text: str) -> timedelta:
    number, unit = text[:-1], text[-1:]
    if not number.isdigit() or unit not in _UNITS:
        raise typer.BadParameter(f"{text!r} is not a number and one of s, m, h, d", param_hint="--expires")
    return timedelta(**{_UNITS[unit]: int(number)})


if __name__ == "__main__":
    app(prog_name="tripthread")
