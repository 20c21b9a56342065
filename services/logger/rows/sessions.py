"""The rows of chat.sessions that people open and change: what they set, beside what messages make of them.

A transaction of its own, since what stands of each field is decided in `settling.py`, on rows that are locked: all of
them in one statement, in the order of their keys, as every other statement takes them. A group without edits pays
nothing for it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields, replace

from services.logger.reducing.reduction import SessionKey
from services.logger.reducing.settling import Edit, SessionState, began_of, settle
from services.logger.reducing.titles import title_of
from services.logger.rows.spelled import as_json
from shared.database import Connection
from shared.events import Json

COLUMNS = [each.name for each in fields(SessionState)]


async def settle_sessions(db: Connection, edits: Sequence[Edit]) -> None:
    """Bring sessions up to what people set of them, in a transaction; of a deleted one only its tombstone stays."""
    if not edits:
        return
    by_session: dict[SessionKey, list[Edit]] = {}
    for edit in edits:
        by_session.setdefault((edit.user_id, edit.session_id), []).append(edit)
    known = await _locked(db, by_session.values())
    states = [_settled(state, by_session[state.user_id, state.session_id]) for state in known]
    states = await _titled(db, states)
    changed = [new for old, new in zip(known, states, strict=True) if new != old]
    if changed:
        await update_sessions(db, changed)


def _settled(state: SessionState, edits: Iterable[Edit]) -> SessionState:
    for edit in edits:
        state = settle(state, edit)
    return state


async def _locked(db: Connection, edits: Iterable[Sequence[Edit]]) -> list[SessionState]:
    """Make the sessions that are missing, lock all, and return those that were not deleted."""
    rows = await db.fetch(
        """
        INSERT INTO chat.sessions AS session (user_id, session_id, created_at, last_activity_at)
        SELECT user_id, session_id, began_at, began_at
        FROM json_to_recordset($1) AS edited (user_id text, session_id text, began_at timestamptz)
        ORDER BY user_id, session_id
        ON CONFLICT (user_id, session_id) DO UPDATE SET user_id = session.user_id  -- which locks it
        RETURNING user_id, session_id, created_at, last_activity_at, project_id, helper, model, model_at, title,
            title_source, titled_at, pinned, archived, folder, labels, analytics, experiment_name, metadata, ended_at,
            field_stamps, deleted_at IS NOT NULL AS is_deleted
        """,
        as_json(_beginning(own) for own in edits),
    )
    return [SessionState(**{name: row[name] for name in COLUMNS}) for row in rows if not row["is_deleted"]]


def _beginning(edits: Sequence[Edit]) -> Json:
    began_at = min(map(began_of, edits))
    return {"user_id": edits[0].user_id, "session_id": edits[0].session_id, "began_at": began_at}


async def _titled(db: Connection, states: Sequence[SessionState]) -> list[SessionState]:
    """Give those their automatic title again that have none of their user's any more."""
    untitled = [state for state in states if state.lacks_title]
    if not untitled:
        return list(states)
    rows = await db.fetch(
        """
        SELECT DISTINCT ON (user_id, session_id) user_id, session_id, content
        FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS titled (user_id, session_id, created_at)
        JOIN chat.messages USING (user_id, session_id, created_at)
        WHERE role = 'user'
        ORDER BY user_id, session_id, message_id
        """,
        [state.user_id for state in untitled],
        [state.session_id for state in untitled],
        [state.titled_at for state in untitled],
    )
    titles = {(row["user_id"], row["session_id"]): title_of(row["content"]) for row in rows}
    return [_with_title(state, titles.get((state.user_id, state.session_id))) for state in states]


def _with_title(state: SessionState, title: str | None) -> SessionState:
    if title is None or not state.lacks_title:
        return state
    return replace(state, title=title, title_source="message")


async def update_sessions(db: Connection, states: Iterable[SessionState]) -> None:
    """Write down all that people may set of these sessions."""
    await db.execute(
        """
        UPDATE chat.sessions AS session SET created_at = new.created_at, last_activity_at = new.last_activity_at,
            project_id = new.project_id, helper = new.helper, model = new.model, title = new.title,
            title_source = new.title_source, pinned = new.pinned, archived = new.archived, folder = new.folder,
            labels = new.labels, analytics = new.analytics, experiment_name = new.experiment_name,
            metadata = new.metadata, ended_at = new.ended_at, field_stamps = new.field_stamps,
            updated_at = clock_timestamp()
        FROM json_to_recordset($1) AS new (user_id text, session_id text, created_at timestamptz,
            last_activity_at timestamptz, project_id text, helper text, model text, title text, title_source text,
            pinned boolean, archived boolean, folder text, labels text[], analytics boolean, experiment_name text,
            metadata jsonb, ended_at timestamptz, field_stamps jsonb)
        WHERE (session.user_id, session.session_id) = (new.user_id, new.session_id)
        """,
        as_json(asdict(state) for state in states),
    )
