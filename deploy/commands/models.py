"""`tripthread models`: which models are configured, at which upstreams, and which of them answer."""

import asyncio
from dataclasses import dataclass

from services.gateway.model.asking.upstream import Upstream, open_upstream
from services.gateway.model.configured.catalog import Catalog, ConfiguredModel, Offer, UpstreamSpec, read_catalog
from shared.errors import ModelAway
from shared.settings import Settings

PATIENCE_S = 30.0  # with each; one that loads its model for longer is asked again by whoever asks this
QUESTION = ({"role": "user", "content": "Say: yes."},)
HEADS = ("model", "provider", "aliases", "upstream", "sent as", "answers")


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    cells: tuple[str, ...]
    is_trouble: bool = False


async def table(settings: Settings, *, ask: bool) -> list[Row]:
    """Return a line for each model of each upstream, below its heads.

    Args:
        settings: What is configured.
        ask: A question of each, all at once, until the first piece of its answer has come.

    Raises:
        Misconfigured: The models' file cannot be used.
    """
    catalog = read_catalog(settings)
    pairs = [(model, offer) for model in _asked_here(catalog, settings) for offer in model.offers]
    said = await asyncio.gather(*(_ask(offer, settings.model_event_bytes) for _, offer in pairs)) if ask else []
    rows = [_row(model, offer, answer) for (model, offer), answer in zip(pairs, said or [""] * len(pairs), strict=True)]
    passing = [_any(upstream) for upstream in catalog.upstreams if upstream.passes_any]
    return [Row(HEADS), *rows, *passing]


def _asked_here(catalog: Catalog, settings: Settings) -> list[ConfiguredModel]:
    """Return the configured models, and the one that titles sessions where that is only passed on."""
    titling = catalog.find(settings.title_model) if settings.title_model else None
    unlisted = [titling] if titling is not None and not catalog.is_listed(titling.name) else []
    return [*catalog.models, *unlisted]


def _row(model: ConfiguredModel, offer: Offer, answer: str) -> Row:
    sent_as = "" if offer.sent_as == model.name else offer.sent_as
    cells = (model.name, model.provider, ", ".join(model.aliases), offer.upstream.name, sent_as, answer)
    return Row(cells, is_trouble=answer.startswith("no"))


def _any(upstream: UpstreamSpec) -> Row:
    return Row(("(any other)", upstream.provider, "", upstream.name, "", ""))


async def _ask(offer: Offer, longest_event: int) -> str:
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with open_upstream(offer.upstream, longest_event) as upstream:
        try:
            await _first_piece(upstream, offer, began + PATIENCE_S)
        except ModelAway as error:
            return f"no: {error.detail}"
    return f"yes, after {loop.time() - began:.1f} s"


async def _first_piece(upstream: Upstream, offer: Offer, until: float) -> None:
    async with upstream.answer(offer.sent_as, QUESTION, offer.parameters, until) as reading:
        while not reading.is_over:
            for chunk in await reading.next():
                if chunk.complaint is not None:
                    raise upstream.complained(chunk.complaint)
                if chunk.is_piece:
                    return
    raise ModelAway("it says nothing")
