"""The shape of the file that `MODELS_FILE` names: upstreams, and the models that each of them has.

`docs/models.example.toml` is one. What is wrong with a file is said by the key that it is about. The file holds no
secret: a service's key stays in a variable, which the file names.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal, InvalidOperation
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, JsonValue, StringConstraints

from shared.configured.toml_file import TABLE, read_toml
from shared.configured.urls import is_base_url
from shared.events import Currency
from shared.settings import Misconfigured

ENVIRONMENT = "environment"  # the name of the upstream that the environment's variables make
OURS = frozenset(("model", "messages", "stream", "n"))  # of a request; no parameter may change them
VARIABLE = r"^[A-Z][A-Z0-9_]*$"


class InvalidModelsFile(Misconfigured):
    """The file cannot be used; the text names the file, and the key where there is one."""

    def __init__(self, path: str | Path, detail: str) -> None:
        super().__init__(f"MODELS_FILE {path}: {detail}")


def _no_name_of_ours(name: str) -> str:
    if name == ENVIRONMENT:
        raise ValueError("is the name of the upstream that OPENAI_BASE_URL is")
    return name


def _parameter(name: str) -> str:
    if name in OURS:
        raise ValueError("is no parameter: it is what every request has")
    return name


def _base_url(url: str) -> str:
    if not is_base_url(url):
        raise ValueError("is not a URL such as https://host/path")
    return url


def _named(model: Any) -> Any:
    """Take a name alone for a model that has nothing else to say."""
    return {"name": model} if isinstance(model, str) else model


ModelName = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^\x00]*[^\x00\s][^\x00]*$")]
UpstreamName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"), AfterValidator(_no_name_of_ours)
]
ParameterName = Annotated[str, StringConstraints(min_length=1, max_length=64), AfterValidator(_parameter)]
Parameters = dict[ParameterName, JsonValue]
HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,64}$")]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Table(BaseModel):
    model_config = TABLE


def _exact(value: Any) -> Any:
    """Read a number as it is written in the file; TOML has no decimals."""
    try:
        return value if isinstance(value, bool) else Decimal(str(value))
    except InvalidOperation as error:
        raise ValueError("is not a number") from error


Price = Annotated[Decimal, BeforeValidator(_exact), Field(ge=0, max_digits=18, decimal_places=9)]


class PriceTable(_Table):
    """What a million tokens cost, as texts or numbers."""

    input: Price
    output: Price
    currency: Currency = "USD"


class ListedModel(_Table):
    """A model that an upstream has."""

    name: ModelName  # what callers ask for, and what tags are made of
    sent_as: ModelName | None = None  # its name there; none: the same
    aliases: list[ModelName] = []  # other names that callers may use
    provider: ModelName | None = None  # none: the upstream's
    context_tokens: Annotated[int, Field(ge=100)] | None = None  # that a request may have; none: CONTEXT_TOKENS
    bytes_per_token: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None  # of text; none: BYTES_PER_TOKEN
    parameters: Parameters = {}  # over those of the upstream
    may_override: list[ParameterName] = []  # what a request may set, beside those of the upstream
    prices: PriceTable | None = None  # none: what its answers cost is not known


class Timeouts(_Table):
    """Those that are left out are the gateway's own, `MODEL_CONNECT_S` and so on."""

    connect_s: Seconds | None = None
    first_piece_s: Seconds | None = None
    silence_s: Seconds | None = None


class Quirks(_Table):
    """What is known of how it wants to be asked, the rest of which it says itself; and of how it answers."""

    leaves_out: list[ParameterName] = []
    renames: dict[ParameterName, ParameterName] = {}
    alternates: bool = False  # user and assistant must take turns
    without_system: bool = False  # the prompt must stand in the first question
    whole: bool = False  # it answers all at once, or not at all
    repeats: bool = False  # each piece is all that came so far, and what is new
    ends_with_all: bool = False  # the piece with the finish reason is all that came before, once more
    thinks_first: bool = False  # the text begins with a thought, and only its end has a tag


class UpstreamTable(_Table):
    """A service of models."""

    name: UpstreamName  # in traces, metrics and logs
    base_url: Annotated[str, AfterValidator(_base_url)]
    key_variable: Annotated[str, StringConstraints(pattern=VARIABLE)] | None = None  # none: no key is sent
    key_header: HeaderName | None = None  # in which the key goes alone; none: in `Authorization`, behind `Bearer`
    provider: ModelName | None = None  # of its models; none: MODEL_PROVIDER
    weight: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1  # its share of the sessions, among those of a model
    passes_any: bool = False  # it is asked for models that nobody lists, too
    parameters: Parameters = {}
    may_override: list[ParameterName] = []
    timeouts: Timeouts = Timeouts()
    quirks: Quirks = Quirks()
    models: list[Annotated[ListedModel, BeforeValidator(_named)]] = []


class _File(_Table):
    upstreams: Annotated[list[UpstreamTable], Field(min_length=1)]


def read_models_file(path: str | Path, usual_provider: str) -> list[UpstreamTable]:
    """Read the file; every upstream is then of a provider.

    Raises:
        InvalidModelsFile: It is not there, is no TOML, or says something that cannot be.
    """
    upstreams = read_toml(path, _File, partial(InvalidModelsFile, path)).upstreams
    upstreams = [each.model_copy(update={"provider": each.provider or usual_provider}) for each in upstreams]
    if clashes := list(_clashes(upstreams)):
        raise InvalidModelsFile(path, "; ".join(clashes))
    return upstreams


def _clashes(upstreams: Sequence[UpstreamTable]) -> Iterator[str]:
    """Say which names mean two things."""
    names: set[str] = set()
    listed: dict[str, tuple[str | None, str]] = {}  # each model's provider, and where it is
    meant: dict[str, str] = {}  # what each name and alias stands for
    for number, upstream in enumerate(upstreams):
        at = f"upstreams[{number}]"
        if upstream.name in names:
            yield f"{at}.name: there are two upstreams {upstream.name!r}"
        names.add(upstream.name)
        for place, model in enumerate(upstream.models):
            here, provider = f"{at}.models[{place}]", model.provider or upstream.provider
            if any(model.name == other.name for other in upstream.models[:place]):
                yield f"{here}.name: {model.name!r} is listed twice"
            known, where = listed.setdefault(model.name, (provider, here))
            if known != provider:
                yield f"{here}.provider: {model.name!r} has another one at {where}"
            for name in (model.name, *model.aliases):
                if meant.setdefault(name, model.name) != model.name:
                    yield f"{here}: {name!r} stands for {meant[name]!r} already"
