"""Which sessions are to get a tag, which number each gets, and how a tag is spelled.

A tag is `chat_model_{short}_{counter}` (docs/requirements.md, "Session tags"): `short` stands for the model, `counter`
counts the sessions of one user with one model.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from services.tagger.registry import Model, ModelWord, first_seen, said_of_model
from shared.events import MessagePosted, TagBatchRequested
from shared.ids import model_id, spell_number

Heard = MessagePosted | TagBatchRequested | ModelWord
SessionKey = tuple[str, str]  # user and session
CounterKey = tuple[str, UUID]  # user and model


@dataclass(frozen=True, slots=True)
class Candidate:
    """A session that is to get a tag: its user first spoke to a tracked model, or a batch reserves it for one."""

    user_id: str
    session_id: str
    model_id: UUID
    short_id: str
    event_id: UUID
    created_at: datetime
    accepted: datetime
    since: datetime | None = None  # when its user was erased; numbers of before do not count
    experiment_name: str | None = None  # the batch's
    reserved_at: datetime | None = None  # when the batch was accepted; none: a message brings the tag
    mixed: bool = False  # it had another model's tag when its batch came

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
    events: Iterable[Heard], known: Mapping[UUID, Model], taken: Collection[str], *, tracks_new: bool = False
) -> tuple[list[Candidate], list[Model]]:
    """Read a group as the queue has it: a message counts by what is known of its model at that point.

    Args:
        events: The group.
        known: The registered models among those that the group names, by id.
        taken: Short ids that new models of this group could want.
        tracks_new: Whether a question registers a model that nobody knows.

    Returns:
        The candidates, each session once, and the models that a registration has made or changed.
    """
    models = dict(known)
    candidates: dict[SessionKey, Candidate] = {}
    for event in events:
        if isinstance(event, MessagePosted):
            is_word = tracks_new and first_seen(event, models) is not None
        else:
            is_word = isinstance(event, ModelWord)
        if is_word and not isinstance(event, TagBatchRequested):
            used = {*taken, *(model.short_id for model in models.values())}
            model = said_of_model(event, models, used)
            models[model.model_id] = model
        for candidate in find_candidates(event, models):
            candidates.setdefault(candidate.session, candidate)
    changed = [model for key, model in models.items() if known.get(key) != model]
    return list(candidates.values()), changed


def not_erased(events: Iterable[Heard], erased: Mapping[str, datetime]) -> list[Heard]:
    """Return the events without what was accepted before its user was erased."""
    return [event for event in events if isinstance(event, ModelWord) or is_newer(event, erased)]


def is_newer(spoken: MessagePosted | TagBatchRequested | Candidate, erased: Mapping[str, datetime]) -> bool:
    """Tell whether somebody spoke, or reserved, who was not erased, or only before that."""
    return spoken.user_id not in erased or spoken.accepted > erased[spoken.user_id]


def find_candidates(event: Heard, models: Mapping[UUID, Model]) -> Iterable[Candidate]:
    """Return the sessions that an event may bring a tag."""
    if isinstance(event, MessagePosted):
        candidate = find_candidate(event, models)
        return () if candidate is None else (candidate,)
    return reserve(event, models) if isinstance(event, TagBatchRequested) else ()


def reserve(event: TagBatchRequested, models: Mapping[UUID, Model]) -> Iterator[Candidate]:
    """Return the sessions of a batch for a tracked model, to be numbered in its order; none for any other model."""
    model = models.get(model_id(event.provider, event.name))
    if model is None or not model.tracked:
        return
    for place, session_id in enumerate(event.session_ids()):
        yield Candidate(
            event.user_id,
            session_id,
            model.model_id,
            model.short_id,
            event.event_id,
            event.accepted_at + timedelta(microseconds=place),
            event.accepted_at,
            experiment_name=event.experiment_name,
            reserved_at=event.accepted_at,
        )


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
    others = {model_id(event.provider, event.name) for event in events if not isinstance(event, MessagePosted)}
    return {model_id(provider, name) for provider, name in posted if name} | others


def registered_models(events: Sequence[Heard]) -> set[UUID]:
    """Return the ids of the models that this group registers."""
    others = (event for event in events if not isinstance(event, MessagePosted))
    return {model_id(event.provider, event.name) for event in others if isinstance(event, ModelWord)}


def first_seen_models(events: Iterable[Heard], known: Collection[UUID]) -> set[UUID]:
    """Return the ids of the models that users ask and nobody knows."""
    return {key for event in events if (key := first_seen(event, known)) is not None}
