"""Ask the outside systems for a sign of life; whether they do what they should, only using them tells."""

from collections.abc import AsyncIterator

import aiohttp

from deploy.doctor.finding import TIMEOUT_S, Finding
from services.gateway.account.tokens.signing_keys import FAULTS, fetch_key_set
from services.gateway.helpers.configured import read_helpers
from services.gateway.helpers.helpers_file import InvalidHelpersFile
from services.gateway.model.configured.catalog import Catalog, UpstreamSpec, read_catalog
from services.gateway.model.configured.listing import list_models
from services.gateway.model.configured.models_file import ENVIRONMENT, InvalidModelsFile
from services.gateway.tools.names import TOOL_NAMES
from services.workflow.avinode.client import open_avinode
from services.workflow.avinode.hooks import EVENTS, read_hooks, unheard
from shared.errors import ModelAway, TripthreadError
from shared.settings import Settings

PATIENCE = aiohttp.ClientTimeout(total=TIMEOUT_S)


async def check_outside(settings: Settings) -> AsyncIterator[Finding]:
    """Ask the outside systems for a sign of life; whether they do what they should, only using them tells."""
    try:
        catalog = read_catalog(settings)
    except InvalidModelsFile as error:
        yield Finding("models", "not as they are configured", str(error))
    else:
        for upstream in catalog.upstreams:
            yield await _models_service(upstream)
        if settings.helpers_file:
            yield _helpers(settings, catalog)
    if settings.jwt_jwks_url:
        yield await _identity_provider(settings.jwt_jwks_url)
    yield (there := await _avinode(settings.avinode_base_url))
    if there.trouble is None:
        yield await _webhooks(settings)


def _helpers(settings: Settings, catalog: Catalog) -> Finding:
    try:
        helpers = read_helpers(settings, catalog, TOOL_NAMES)
    except InvalidHelpersFile as error:
        return Finding("helpers", "not as they are configured", str(error))
    return Finding("helpers", f"{len(helpers.all)} in {settings.helpers_file}")


async def _models_service(upstream: UpstreamSpec) -> Finding:
    """Ask for the models as a gateway does at its start."""
    name = "" if upstream.name == ENVIRONMENT else f" {upstream.name}"
    subject, url = f"model's service{name}", upstream.base_url
    try:
        models = await list_models(upstream)
    except ModelAway as error:
        return Finding(subject, f"{url} is of no use", f"{error.detail}; see {upstream.see}")
    said = "answers, without a list of models" if models is None else f"lists {len(models)} models"
    return Finding(subject, f"{url} {said}")


async def _identity_provider(url: str) -> Finding:
    """Ask for its keys as a gateway does."""
    subject = "identity provider"
    try:
        keys = await fetch_key_set(url)
    except FAULTS as error:
        return Finding(subject, f"{url} is of no use", f"{error or type(error).__name__}; see JWT_JWKS_URL")
    return Finding(subject, f"{url} shows {len(keys.keys)} keys")


async def _avinode(url: str) -> Finding:
    subject, see = "Avinode", "see AVINODE_BASE_URL"
    try:
        async with (
            aiohttp.ClientSession(timeout=PATIENCE) as http,
            http.get(url, allow_redirects=False) as response,
        ):
            return Finding(subject, f"{url} answers {response.status}", see if response.status >= 500 else None)
    except (aiohttp.ClientError, TimeoutError) as error:
        return Finding(subject, f"{url} is away", f"{error or type(error).__name__}; {see}")


async def _webhooks(settings: Settings) -> Finding:
    """Ask which notices Avinode sends us: without them a trip is only read again now and then."""
    subject = "Avinode's webhooks"
    try:
        async with open_avinode(settings) as client:
            hooks = read_hooks(await client.webhooks())
    except TripthreadError as error:
        return Finding(subject, "not known", f"{error.detail}; see AVINODE_AUTH_TOKEN")
    if missing := unheard(hooks, settings.avinode_webhook_user):
        return Finding(subject, "incomplete", f"nobody here is told of {', '.join(missing)}; see `tripthread avinode`")
    return Finding(subject, f"tell of all {len(EVENTS)} kinds of notices")
