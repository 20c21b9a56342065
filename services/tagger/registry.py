"""The models that are known: registered, named for people, tracked or not. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import UUID

from shared.events import Event, MessagePosted, ModelChanged, ModelRegistered
from shared.ids import model_id

SHORT_DIGITS = 6  # of a model's id, at least
# A model that only came with a gateway's start has had no word yet: any administrator's is later, by whichever clock.
NO_WORD_YET = datetime(2, 1, 1, tzinfo=UTC)

ModelWord = ModelRegistered | ModelChanged


@dataclass(frozen=True, slots=True)
class Model:
    """A registered model, as the last word on it left it."""

    model_id: UUID
    provider: str
    name: str
    short_id: str  # fixed at the first registration
    tracked: bool
    registered_at: datetime
    stamped_at: datetime  # `occurred_at` and id of the event that wrote `tracked` last
    stamped_by: UUID
    display_name: str | None = None  # what people call it, where that is not its name
    renamed_at: datetime | None = None  # the same of the event that wrote `display_name` last; none: there was none
    renamed_by: UUID | None = None


def said_of_model(event: ModelWord | MessagePosted, known: Mapping[UUID, Model], taken: Collection[str]) -> Model:
    """Return a model after a word on it, or the first question to it; whatever nobody has registered is by that."""
    if isinstance(event, MessagePosted):
        return make_model(event.provider, event.model or "", event, taken)
    model = known.get(model_id(event.provider, event.name))
    return register(event, model, taken) if isinstance(event, ModelRegistered) else change(event, model, taken)


def first_seen(event: Event, known: Collection[UUID]) -> UUID | None:
    """Return the model that a user's question is to, where nobody knows it."""
    if not isinstance(event, MessagePosted) or event.role != "user" or not event.model or not event.model.strip():
        return None
    key = model_id(event.provider, event.model)
    return None if key in known else key


def register(event: ModelRegistered, known: Model | None, taken: Collection[str]) -> Model:
    """Make a new model, or change a known one unless the event is older than the last word on it, or no word at all."""
    if known is None:
        model = make_model(event.provider, event.name, event, taken)
        stamped_at = NO_WORD_YET if event.only_if_new else event.occurred_at
        return replace(model, tracked=event.tracked, stamped_at=stamped_at)
    if event.only_if_new or (event.occurred_at, event.event_id) <= (known.stamped_at, known.stamped_by):
        return known
    return replace(known, tracked=event.tracked, stamped_at=event.occurred_at, stamped_by=event.event_id)


def change(event: ModelChanged, known: Model | None, taken: Collection[str]) -> Model:
    """Set the fields that an event names, unless it is older than the last word on them."""
    model = make_model(event.provider, event.name, event, taken) if known is None else known
    stamp = event.occurred_at, event.event_id
    if "tracked" in event.changed and stamp > (model.stamped_at, model.stamped_by):
        model = replace(model, tracked=event.tracked, stamped_at=stamp[0], stamped_by=stamp[1])
    if "display_name" in event.changed and (model.renamed_at is None or stamp > (model.renamed_at, model.renamed_by)):
        model = replace(model, display_name=event.display_name, renamed_at=stamp[0], renamed_by=stamp[1])
    return model


def make_model(provider: str, name: str, event: Event, taken: Collection[str]) -> Model:
    """Make a model of which no administrator has said anything yet."""
    key = model_id(provider, name)
    return Model(
        model_id=key,
        provider=provider,
        name=name,
        short_id=short_id(key, taken),
        tracked=True,
        registered_at=event.occurred_at,
        stamped_at=NO_WORD_YET,
        stamped_by=event.event_id,
    )


def short_id(model: UUID, taken: Collection[str]) -> str:
    """Return the first digits of a model's id, as few as tell it from other models."""
    return next(model.hex[:digits] for digits in range(SHORT_DIGITS, 33) if model.hex[:digits] not in taken)
