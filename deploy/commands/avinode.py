"""`tripthread avinode`: which notices Avinode sends us, and to where."""

import asyncio
from collections.abc import Coroutine
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

import typer

from deploy.terminal import plain
from services.workflow.avinode.client import Avinode, open_avinode
from services.workflow.avinode.errors import AvinodeUnclear
from services.workflow.avinode.hooks import EVENTS, Hook, read_hooks, setting_of, target_of, unheard
from shared.errors import TripthreadError
from shared.settings import Settings

app = typer.Typer(no_args_is_help=True, help=__doc__)

Url = Annotated[str, typer.Argument(help="where Avinode reaches the gateway: https://... without a path")]
T = TypeVar("T")


@app.callback()
def avinode() -> None:
    """See what Avinode tells us, and have it told."""


@app.command()
def webhooks() -> None:
    """List the webhooks that our company has at Avinode, and say which notices reach nobody here."""
    settings = Settings()
    hooks = _run(_listed(settings))
    for hook in hooks:
        state = "active  " if hook.is_active else "inactive"
        typer.echo(plain(f"{hook.id}  {state}  {hook.target}  {', '.join(hook.events)}"))
    missing = unheard(hooks, settings.avinode_webhook_user)
    if missing:
        typer.echo(f"tripthread avinode: nobody here is told of {', '.join(missing)}; see `register`", err=True)
        raise typer.Exit(1)


@app.command()
def register(url: Url) -> None:
    """Set up a webhook for each kind of notice, or change it; said again, it tells Avinode the password that is new."""
    if not _is_base(url):
        typer.echo("tripthread avinode: the URL is http:// or https:// and a host, without a path", err=True)
        raise typer.Exit(1)
    for line in _run(_registered(Settings(), url.rstrip("/"))):
        typer.echo(plain(line))


def _is_base(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.path.rstrip("/") + parts.query
    except ValueError:
        return False


async def _listed(settings: Settings) -> list[Hook]:
    async with open_avinode(settings) as client:
        return read_hooks(await client.webhooks())


async def _registered(settings: Settings, url: str) -> list[str]:
    async with open_avinode(settings) as client:
        known = {hook.target: hook.id for hook in read_hooks(await client.webhooks())}
        return [await _put(client, settings, known, url, event) for event in EVENTS]


async def _put(client: Avinode, settings: Settings, known: dict[str, str], url: str, event: str) -> str:
    """Set one up where there is none of this target, since nothing here ever takes one away."""
    target = target_of(url, event)
    hooks = read_hooks(await client.put_webhook(setting_of(settings, url, event), known.get(target)))
    if not any(hook.target == target and hook.is_active for hook in hooks):
        raise AvinodeUnclear(f"Avinode does not show the webhook for {event} that it was told to set up")
    return f"{hooks[0].id}  {'changed' if target in known else 'set up '}  {target}"


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Do it, or end with what is wrong."""
    try:
        return asyncio.run(work)
    except TripthreadError as error:
        typer.echo(f"tripthread avinode: {plain(error.detail)}", err=True)
        raise typer.Exit(1) from error
