"""Which models can be asked for, and where: the file that `MODELS_FILE` names, and the service of the environment.

Whoever wants to know which models are configured asks the catalog. A model is known by its provider and its name, on
which its tag and its counter stand; both are the catalog's, whichever upstream answers, and by whichever alias it was
called.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from pydantic import SecretStr

from services.gateway.model.configured.habits import Habits
from services.gateway.model.configured.manner import Manner
from services.gateway.model.configured.models_file import (
    ENVIRONMENT,
    InvalidModelsFile,
    ListedModel,
    PriceTable,
    UpstreamTable,
    read_models_file,
)
from services.gateway.model.configured.patience import Limits
from services.gateway.model.configured.prices import Prices
from shared.settings import PUBLIC_SECRETS, Settings, read_secrets

CHATS = "/chat/completions"
NO_PARAMETERS: Mapping[str, Any] = {}
MOST_PASSED_ON = 1024  # models that nobody lists and are remembered: callers name them


@dataclass(frozen=True)
class UpstreamSpec:
    """A service of models, as it is configured."""

    name: str
    base_url: str
    key: SecretStr
    provider: str
    limits: Limits
    habits: Habits = field(default_factory=Habits)
    manner: Manner = field(default_factory=Manner)
    weight: float = 1
    passes_any: bool = False
    parameters: Mapping[str, Any] = field(default_factory=dict)
    may_override: frozenset[str] = frozenset()
    key_header: str | None = None  # in which the key goes alone; none: `Authorization`, behind `Bearer`
    see: str = "MODELS_FILE"  # the settings that it stands in

    @property
    def key_headers(self) -> dict[str, str]:
        """The header that says who asks; none where no key is sent."""
        key = self.key.get_secret_value()
        if not key:
            return {}
        return {self.key_header: key} if self.key_header else {"Authorization": f"Bearer {key}"}


@dataclass(frozen=True)
class Offer:
    """An upstream's way to a model."""

    upstream: UpstreamSpec
    sent_as: str  # the model's name there
    parameters: Mapping[str, Any] = field(default_factory=dict)
    may_override: frozenset[str] = frozenset()
    prices: Prices | None = None  # none: they are not known

    def fields(self, wanted: Mapping[str, Any], configured: Mapping[str, Any] = NO_PARAMETERS) -> dict[str, Any]:
        """Return what is sent beside the messages.

        Args:
            wanted: What a caller would have otherwise, as far as they may.
            configured: What whoever answers has otherwise, as it is configured, too.
        """
        overridden = {name: wanted[name] for name in self.may_override & wanted.keys()} if wanted else {}
        return {**self.parameters, **configured, **overridden}


@dataclass(frozen=True)
class ConfiguredModel:
    """A model that can be asked for."""

    name: str
    provider: str
    offers: tuple[Offer, ...]
    aliases: tuple[str, ...] = ()
    context_bytes: int = 0  # of text that a request may have, by its tokens; 0: as many as of any model


class Catalog:
    """All that is configured; it does not change while the process lives."""

    def __init__(
        self, upstreams: Sequence[UpstreamSpec], models: Iterable[ConfiguredModel], default: str, usual_provider: str
    ) -> None:
        self.upstreams = tuple(upstreams)
        self.models = tuple(models)
        self.default = default
        self.usual_provider = usual_provider  # of models that nobody has
        self._by_name = {name: model for model in self.models for name in (model.name, *model.aliases)}
        passing = [upstream for upstream in self.upstreams if upstream.passes_any]
        # One name is one model, so those that pass it on must be of one provider.
        self._passing = [upstream for upstream in passing if upstream.provider == passing[0].provider]
        self._passed_on = lru_cache(MOST_PASSED_ON)(self._pass_on)  # each turn asks several times

    def find(self, name: str | None) -> ConfiguredModel | None:
        """Return the model of this name or alias, without one the default model; None where nobody has it."""
        name = self.default if name is None else name
        return self._by_name.get(name) or self._passed_on(name)

    def is_listed(self, name: str) -> bool:
        """Tell whether a model is configured by this name or alias, and not only passed on to whoever takes any."""
        return name in self._by_name

    def _pass_on(self, name: str) -> ConfiguredModel | None:
        offers = [Offer(upstream, name, upstream.parameters, upstream.may_override) for upstream in self._passing]
        return ConfiguredModel(name, self._passing[0].provider, tuple(offers)) if offers else None


def read_catalog(settings: Settings) -> Catalog:
    """Read what is configured.

    Beside a file the environment's service is an upstream where `OPENAI_API_KEY` is set.

    Raises:
        InvalidModelsFile: The file is not there, or cannot be meant so; the text names the key.
    """
    tables = read_models_file(settings.models_file, settings.model_provider) if settings.models_file else []
    specs = _specs_of(tables, settings)
    models = _models_of(tables, specs, settings)
    if not tables or "openai_api_key" in settings.model_fields_set:
        ours = _environment(settings)
        specs.append(ours)
        if all(settings.default_model not in (model.name, *model.aliases) for model in models):
            models.append(
                ConfiguredModel(settings.default_model, ours.provider, (Offer(ours, settings.default_model),))
            )
    catalog = Catalog(specs, models, settings.default_model, settings.model_provider)
    if catalog.find(None) is None:
        raise InvalidModelsFile(settings.models_file, f"no upstream lists DEFAULT_MODEL, {settings.default_model!r}")
    if settings.title_model and catalog.find(settings.title_model) is None:
        raise InvalidModelsFile(settings.models_file, f"no upstream lists TITLE_MODEL, {settings.title_model!r}")
    return catalog


def _environment(settings: Settings) -> UpstreamSpec:
    return UpstreamSpec(
        name=ENVIRONMENT,
        base_url=_base_of(settings.openai_base_url),
        key=settings.openai_api_key,
        provider=settings.model_provider,
        limits=Limits.of(settings),
        passes_any=True,
        see="OPENAI_BASE_URL, OPENAI_API_KEY",
    )


def _specs_of(tables: Sequence[UpstreamTable], settings: Settings) -> list[UpstreamSpec]:
    keys = read_secrets([table.key_variable for table in tables if table.key_variable])
    for number, table in enumerate(tables):
        key = keys[table.key_variable].get_secret_value() if table.key_variable else None
        if key == "" or (settings.environment == "production" and key in PUBLIC_SECRETS):
            place = f"upstreams[{number}].key_variable: {table.key_variable}"
            raise InvalidModelsFile(settings.models_file, f"{place} is {'a public secret' if key else 'not set'}")
    return [_spec_of(table, keys.get(table.key_variable or "", SecretStr("")), settings) for table in tables]


def _spec_of(table: UpstreamTable, key: SecretStr, settings: Settings) -> UpstreamSpec:
    quirks = table.quirks
    return UpstreamSpec(
        name=table.name,
        base_url=_base_of(table.base_url),
        key=key,
        provider=table.provider or settings.model_provider,
        limits=replace(Limits.of(settings), **table.timeouts.model_dump(exclude_none=True)),
        habits=Habits(
            refused=frozenset(quirks.leaves_out),
            renamed=tuple(quirks.renames.items()),
            alternates=quirks.alternates,
            without_system=quirks.without_system,
            whole=quirks.whole,
        ),
        manner=Manner(repeats=quirks.repeats, ends_with_all=quirks.ends_with_all, thinks_first=quirks.thinks_first),
        weight=table.weight,
        key_header=table.key_header,
        passes_any=table.passes_any,
        parameters=table.parameters,
        may_override=frozenset(table.may_override),
    )


def _base_of(url: str) -> str:
    """Return where `/chat/completions` and `/models` are; some services show their users the whole path."""
    path, mark, query = url.partition("?")
    return path.rstrip("/").removesuffix(CHATS) + mark + query


def _models_of(
    tables: Sequence[UpstreamTable], specs: Sequence[UpstreamSpec], settings: Settings
) -> list[ConfiguredModel]:
    """Unite what the upstreams list: a name is one model, of one provider, which the file has seen to."""
    offers: defaultdict[str, list[Offer]] = defaultdict(list)
    aliases: defaultdict[str, dict[str, None]] = defaultdict(dict)
    contexts: defaultdict[str, list[int]] = defaultdict(list)
    providers: dict[str, str] = {}
    for spec, listed in ((spec, listed) for table, spec in zip(tables, specs, strict=True) for listed in table.models):
        offers[listed.name].append(_offer(spec, listed))
        aliases[listed.name].update(dict.fromkeys(listed.aliases))
        providers[listed.name] = listed.provider or spec.provider
        contexts[listed.name].append(_context_bytes(listed, settings))
    return [  # of a model that several have, what fits them all
        ConfiguredModel(name, providers[name], tuple(found), tuple(aliases[name]), min(contexts[name]))
        for name, found in offers.items()
    ]


def _context_bytes(listed: ListedModel, settings: Settings) -> int:
    return int(
        (listed.context_tokens or settings.context_tokens) * (listed.bytes_per_token or settings.bytes_per_token)
    )


def _offer(spec: UpstreamSpec, listed: ListedModel) -> Offer:
    return Offer(
        spec,
        listed.sent_as or listed.name,
        {**spec.parameters, **listed.parameters},
        spec.may_override.union(listed.may_override),
        _prices(listed.prices),
    )


def _prices(table: PriceTable | None) -> Prices | None:
    return Prices(table.input, table.output, table.currency) if table else None
