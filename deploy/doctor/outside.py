"""Ask the outside systems for a sign of life; whether they do what they should, only using them tells."""

from collections.abc import AsyncIterator

import aiohttp

from deploy.doctor.finding import TIMEOUT_S, Finding
from services.gateway.helpers.configured import read_helpers
from services.gateway.helpers.helpers_file import InvalidHelpersFile
from services.gateway.model.catalog import Catalog, UpstreamSpec, read_catalog
from services.gateway.model.listing import list_models
from services.gateway.model.models_file import ENVIRONMENT, InvalidModelsFile
from shared.errors import ModelAway
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
    yield await _avinode(settings.avinode_base_url)


def _helpers(settings: Settings, catalog: Catalog) -> Finding:
    try:
        helpers = read_helpers(settings, catalog)
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
