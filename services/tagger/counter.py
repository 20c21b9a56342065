"""Which sessions are to get a tag, which number each gets, and how a tag is spelled.

A tag is `chat_model_{short}_{counter}` (docs/requirements.md, "Session tags"): `short` stands for the model, `counter`
counts the sessions of one user with one model.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import UUID

from shared.events import MessagePosted, ModelRegistered
from shared.ids import model_id, spell_number

SHORT_DIGITS = 6  # of a model's id, at least
# A model that only came with a gateway's start has had no word yet: any administrator's is later, by whichever clock.
NO_WORD_YET = datetime(2, 1, 1, tzinfo=UTC)

Heard = MessagePosted | ModelRegistered
SessionKey = tuple[str, str]  # user and session
CounterKey = tuple[str, UUID]  # user and model


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


@dataclass(frozen=True, slots=True)
class Candidate:
    """A session that is to get a tag, by the message in which its user first spoke to a tracked model."""

    user_id: str
    session_id: str
    model_id: UUID
    short_id: str
    event_id: UUID
    created_at: datetime
    accepted: datetime
    since: datetime | None = None  # when its user was erased; numbers of before do not count

    @property
    def session(self) -> SessionKey:
        return self.user_id, self.session_id

    @property
    def counter(self) -> CounterKey:
        return self.user_id, self.model_id


@dataclass(frozen=True, slots=True)
class Tag:
    """What a candidate was given."""

    candidate: Candidate
    number: int

    def __str__(self) -> str:
        return f"chat_model_{self.candidate.short_id}_{spell_number(self.number)}"


def read_in_order(
    events: Iterable[Heard], known: Mapping[UUID, Model], taken: Collection[str]
) -> tuple[list[Candidate], list[Model]]:
    """Read a group as the queue has it: a message counts by what is known of its model at that point.

    Args:
        events: The group.
        known: The registered models among those that the group names, by id.
        taken: Short ids that new models of this group could want.

    Returns:
        The candidates, each session once, and the models that a registration has made or changed.
    """
    models = dict(known)
    candidates: dict[SessionKey, Candidate] = {}
    for event in events:
        if isinstance(event, ModelRegistered):
            used = {*taken, *(model.short_id for model in models.values())}
            model = register(event, models.get(model_id(event.provider, event.name)), used)
            models[model.model_id] = model
        elif (candidate := find_candidate(event, models)) is not None:
            candidates.setdefault(candidate.session, candidate)
    changed = [model for key, model in models.items() if known.get(key) != model]
    return list(candidates.values()), changed


def not_erased(events: Iterable[Heard], erased: Mapping[str, datetime]) -> list[Heard]:
    """Return the events without the messages that were accepted before their user was erased."""
    return [event for event in events if isinstance(event, ModelRegistered) or is_newer(event, erased)]


def is_newer(spoken: MessagePosted | Candidate, erased: Mapping[str, datetime]) -> bool:
    """Tell whether somebody spoke who was not erased, or only before they spoke."""
    return spoken.user_id not in erased or spoken.accepted > erased[spoken.user_id]


def find_candidate(event: MessagePosted, models: Mapping[UUID, Model]) -> Candidate | None:
    """Return the session of a user's message to a tracked model; None for any other message."""
    if event.role != "user" or event.model is None:
        return None
    model = models.get(model_id(event.provider, event.model))
    if model is None or not model.tracked:
        return None
    return Candidate(
        event.user_id,
        event.session_id,
        model.model_id,
        model.short_id,
        event.event_id,
        event.created_at,
        event.accepted,
    )


def register(event: ModelRegistered, known: Model | None, taken: Collection[str]) -> Model:
    """Make a new model, or change a known one unless the event is older than the last word on it, or no word at all."""
    if known is None:
        return make_model(event, taken)
    if event.only_if_new or (event.occurred_at, event.event_id) <= (known.stamped_at, known.stamped_by):
        return known
    return replace(known, tracked=event.tracked, stamped_at=event.occurred_at, stamped_by=event.event_id)


def make_model(event: ModelRegistered, taken: Collection[str]) -> Model:
    key = model_id(event.provider, event.name)
    return Model(
        model_id=key,
        provider=event.provider,
        name=event.name,
        short_id=short_id(key, taken),
        tracked=event.tracked,
        registered_at=event.occurred_at,
        stamped_at=NO_WORD_YET if event.only_if_new else event.occurred_at,
        stamped_by=event.event_id,
    )


def short_id(model: UUID, taken: Collection[str]) -> str:
    """Return the first digits of a model's id, as few as tell it from other models."""
    return next(model.hex[:digits] for digits in range(SHORT_DIGITS, 33) if model.hex[:digits] not in taken)


def number(candidates: Iterable[Candidate], last_numbers: Mapping[CounterKey, int]) -> list[Tag]:
    """Give each session its number, in the order in which their users spoke.

    Args:
        candidates: The sessions that have no tag yet.
        last_numbers: Of each counter the number that the last of these sessions gets.
    """
    candidates = sorted(candidates, key=lambda candidate: (candidate.created_at, candidate.session))
    numbers = Counter(last_numbers)
    numbers.subtract(candidate.counter for candidate in candidates)
    tags = []
    for candidate in candidates:
        numbers[candidate.counter] += 1
        tags.append(Tag(candidate, numbers[candidate.counter]))
    return tags


def named_models(events: Sequence[Heard]) -> set[UUID]:
    """Return the ids of all models that can matter to this group."""
    posted = {(event.provider, event.model) for event in events if isinstance(event, MessagePosted)}
    return {model_id(provider, name) for provider, name in posted if name} | registered_models(events)


def registered_models(events: Sequence[Heard]) -> set[UUID]:
    """Return the ids of the models that this group registers."""
    return {model_id(event.provider, event.name) for event in events if isinstance(event, ModelRegistered)}
