"""What people set of a session, settled field by field. Pure.

The result depends on which events there were, and neither on their order nor on how often each came: of changes the
newest wins, by (the database's time of acceptance, event id); of openings the first; a change wins over any opening. A
session's row keeps for each field the stamp of whoever won it, and that of its newest opening.

A model's title leaves no stamp: it stands only where no user ever set a title, or took one back, and of two the one
that sorts last.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from shared.events import Json, SessionChanged, SessionOpened, SessionTitled

Edit = SessionOpened | SessionChanged | SessionTitled
Stamp = list[str]  # [accepted_at, event id], and of an opening `OPENED`

OPENED = "opened"
CHANGEABLE = ("title", "pinned", "archived", "folder", "labels", "analytics", "experiment_name", "metadata")


@dataclass(frozen=True, slots=True)
class SessionState:
    """What an edit may touch of a row of `chat.sessions`, and what it depends on."""

    user_id: str
    session_id: str
    created_at: datetime
    last_activity_at: datetime
    project_id: str | None = None
    helper: str | None = None
    model: str | None = None
    model_at: datetime | None = None  # none: no message has named one
    title: str | None = None
    title_source: str = "none"  # or `message`, `model`, `user`
    titled_at: datetime | None = None  # of the message that gives the automatic title, whoever's title stands
    pinned: bool = False
    archived: bool = False
    folder: str | None = None
    labels: list[str] = field(default_factory=list)
    analytics: bool = True
    experiment_name: str | None = None
    metadata: Json = field(default_factory=dict)
    ended_at: datetime | None = None
    field_stamps: dict[str, Stamp] = field(default_factory=dict)

    @property
    def lacks_title(self) -> bool:
        """Whether a message gives a title, which must be found again."""
        return self.title is None and self.titled_at is not None

    @property
    def is_titled_by_user(self) -> bool:
        """Whether its user has had a say in its title; one that was given with a fork leaves no stamp."""
        return "title" in self.field_stamps or self.title_source == "user"


def began_of(edit: Edit) -> datetime:
    """Return when a session began at the latest, as far as an edit tells."""
    return edit.began_at if isinstance(edit, SessionChanged) else edit.accepted_at


def settle(state: SessionState, edit: Edit) -> SessionState:
    """Return the session after one more edit, which may be older than what is known, or known."""
    stamps, stamp = state.field_stamps, _stamp_of(edit)
    won = {name: value for name, value in _said(state, edit) if not _stands(stamps.get(name), stamp)}
    opening = {OPENED: max(stamps.get(OPENED, stamp), stamp)} if isinstance(edit, SessionOpened) else {}
    began_at = began_of(edit)
    last_activity_at = max(state.last_activity_at, began_at)
    changes: Json = {
        **won,
        "created_at": min(state.created_at, began_at),
        "last_activity_at": last_activity_at,
        "field_stamps": stamps | dict.fromkeys(won, stamp) | opening,
        "ended_at": _end(state.ended_at, edit, last_activity_at),
    }
    if "title" in won:
        changes["title_source"] = "none" if won["title"] is None else "user"
    if isinstance(edit, SessionTitled) and not state.is_titled_by_user:
        known = state.title if state.title_source == "model" else None
        changes |= {"title": max(known or "", edit.title), "title_source": "model"}
    return replace(state, **changes)


def set_since(state: SessionState, erased_at: datetime) -> SessionState | None:
    """Return of a session what its user has set since they were erased; None where that is nothing.

    A model's title is not among it: of what was said before, or since, nothing tells. Nor are the words of a question
    that stand where they took theirs back. Its times are those of what was set: when the session began, at the latest,
    and was opened.
    """
    stamps = {name: stamp for name, stamp in state.field_stamps.items() if _moment(stamp) > erased_at}
    ended_at = state.ended_at if state.ended_at is not None and state.ended_at > erased_at else None
    if not stamps and ended_at is None:
        return None
    began_at = min([_moment(stamp) for stamp in stamps.values()] or [ended_at or erased_at])
    fields = {name: getattr(state, name) for name in stamps if name != OPENED}
    is_titled = "title" in stamps and state.title_source == "user"
    if not is_titled:
        fields.pop("title", None)
    return SessionState(
        state.user_id,
        state.session_id,
        began_at,
        _moment(stamps[OPENED]) if OPENED in stamps else began_at,
        title_source="user" if is_titled else "none",
        ended_at=ended_at,
        field_stamps=stamps,
        **fields,
    )


def _moment(stamp: Stamp) -> datetime:
    return datetime.fromisoformat(stamp[0])


def _said(state: SessionState, edit: Edit) -> Iterator[tuple[str, Any]]:
    """Return the fields that an edit sets, with their values."""
    if isinstance(edit, SessionTitled):
        return
    if isinstance(edit, SessionChanged):
        for name in CHANGEABLE:
            if name in edit.changed:
                value = getattr(edit, name)
                yield name, list(value) if name == "labels" else value
        return
    for name in ("title", "experiment_name"):
        if getattr(edit, name) is not None:
            yield name, getattr(edit, name)
    if not edit.analytics:
        yield "analytics", False
    if edit.metadata:
        yield "metadata", edit.metadata
    yield from _named(state, edit)


def _named(state: SessionState, opening: SessionOpened) -> Iterator[tuple[str, Any]]:
    """Return what an opening names and messages name, too: what is of a message stays."""
    if opening.model is not None and state.model_at is None:
        yield "model", opening.model
    for name in ("project_id", "helper"):
        is_of_a_message = getattr(state, name) is not None and name not in state.field_stamps
        if getattr(opening, name) is not None and not is_of_a_message:
            yield name, getattr(opening, name)


def _stamp_of(edit: Edit) -> Stamp:
    return [*edit.stamp, *([OPENED] if isinstance(edit, SessionOpened) else [])]


def _stands(known: Stamp | None, new: Stamp) -> bool:
    """Tell whether what is known stands against what is new, or is the same."""
    if known is None:
        return False
    if (OPENED in known) != (OPENED in new):
        return OPENED in new
    return known <= new if OPENED in new else known >= new


def _end(known: datetime | None, edit: Edit, last_activity_at: datetime) -> datetime | None:
    """Return the newest end, where nothing was said since."""
    ends = [end for end in (known, edit.ended_at if isinstance(edit, SessionChanged) else None) if end is not None]
    end = max(ends, default=None)
    return end if end is not None and end >= last_activity_at else None
