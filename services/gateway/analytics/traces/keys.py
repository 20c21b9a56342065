"""Find the stored traces of a page: by a walk in the list's order, or from the few that a tag or a project has.

Whatever is asked for, no more is read than a page and what is looked through for it, however many somebody has.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import asyncpg

from services.gateway.analytics.traces.filters import RUNNING, TagRange, TraceFilter, Whose
from services.gateway.deletion.hidden import is_shown
from services.gateway.http.requests.cursors import Place
from shared.database import Connection

Key = tuple[str, str]  # owner and trace id

RARE = 500  # sessions with a tag or project, and traces with a tag of their own: so many are sorted
LOOKED_THROUGH = 1000  # of the newest traces, before those of the sessions that are asked for are looked for
MOST_OF_ONE = 10_000  # calls of one W3C trace
# As for lists of sessions: the plan is to be made for these filters, and to go by an index that has the order.
PLANNED_BY_VALUES = """
    SET LOCAL plan_cache_mode = force_custom_plan; SET LOCAL enable_sort = off; SET LOCAL enable_bitmapscan = off
"""

_FITS = f"""
    (t.started_at, t.trace_id) < (coalesce($3::timestamptz, 'infinity'), coalesce($4::text, ''))
    AND ($5::text IS NULL OR t.session_id = $5)
    AND ($6::text IS NULL OR t.model = $6)
    AND ($7::text IS NULL OR t.status = $7)
    AND ($7::text = '{RUNNING}' OR t.status <> '{RUNNING}')
    AND ($8::timestamptz IS NULL OR t.started_at >= $8)
    AND ($9::timestamptz IS NULL OR t.started_at < $9)
    AND ($10::text IS NULL OR t.w3c_trace_id = $10)
    AND (NOT $14::boolean OR {is_shown("t", "coalesce(t.accepted_at, t.started_at)")})
"""
# OFFSET 0: what is known of its session is looked up by its key, whatever the planner takes the tables for.
_SESSION_FITS = """
    ($11::text IS NULL OR (t.session_tag COLLATE "C" >= $11 AND t.session_tag COLLATE "C" < $12) OR EXISTS (
        SELECT FROM (SELECT * FROM tagging.session_tags own
            WHERE own.user_id = t.user_id AND own.session_id = t.session_id OFFSET 0) g
        WHERE g.deleted_at IS NULL AND g.session_tag >= $11 AND g.session_tag < $12))
    AND ($13::text[] IS NULL OR EXISTS (
        SELECT FROM (SELECT * FROM chat.sessions own
            WHERE own.user_id = t.user_id AND own.session_id = t.session_id OFFSET 0) s
        WHERE s.deleted_at IS NULL AND s.project_id = ANY ($13)))
"""
_ORDERED = "ORDER BY t.started_at DESC, t.trace_id DESC"
_BOUND = "AND $1::text[] IS NOT NULL AND $2::int > 0"  # so that every statement knows the same arguments
_OF_OWNERS = """
    SELECT page.* FROM unnest($1::text[]) AS owner (user_id) CROSS JOIN LATERAL (
        SELECT {columns} FROM chat.traces t WHERE t.user_id = owner.user_id AND {fits} {ordered} LIMIT {limit}
    ) page
"""
_OF_ALL = "SELECT {columns} FROM chat.traces t WHERE {fits} AND $1::text[] IS NOT NULL {ordered} LIMIT {limit}"
_WALKED = "t.user_id, t.session_id, t.trace_id, t.started_at, t.session_tag"


def _walk(*, everybody: bool, looked_through: int | None) -> str:
    """Spell a walk: through all, or through so many of each owner, which it then tells of."""
    form = _OF_ALL if everybody else _OF_OWNERS
    if looked_through is None:
        fits = f"{_FITS} AND {_SESSION_FITS}"
        walk = form.format(columns=_WALKED, fits=fits, ordered=_ORDERED, limit="$2")
        return f"SELECT user_id, trace_id, started_at FROM ({walk}) t {_ORDERED} LIMIT $2"  # noqa: S608 - constants
    walk = form.format(columns=_WALKED, fits=_FITS, ordered=_ORDERED, limit=looked_through)
    return f"""
        WITH looked AS MATERIALIZED (SELECT * FROM ({walk}) t {_ORDERED} LIMIT {looked_through})
        SELECT number, found.* FROM (SELECT count(*) AS number FROM looked) AS all_looked LEFT JOIN (
            SELECT user_id, trace_id, started_at FROM looked t WHERE {_SESSION_FITS} {_ORDERED} LIMIT $2) found ON true
        ORDER BY started_at DESC, trace_id DESC
    """  # noqa: S608 - constants


WALKS = {everybody: _walk(everybody=everybody, looked_through=None) for everybody in (False, True)}
LOOKS = {everybody: _walk(everybody=everybody, looked_through=LOOKED_THROUGH) for everybody in (False, True)}
OF_SESSIONS = f"""
    SELECT user_id, trace_id, started_at FROM (
        SELECT of_session.* FROM unnest($15::text[], $16::text[]) AS wanted (user_id, session_id)
        CROSS JOIN LATERAL (
            SELECT {_WALKED} FROM chat.traces t
            WHERE t.user_id = wanted.user_id AND t.session_id = wanted.session_id AND {_FITS} {_ORDERED} LIMIT $2
        ) of_session
        UNION
        SELECT {_WALKED} FROM unnest($17::text[], $18::text[]) AS wanted (user_id, trace_id)
        CROSS JOIN LATERAL (SELECT * FROM chat.traces own
            WHERE own.user_id = wanted.user_id AND own.trace_id = wanted.trace_id OFFSET 0) t
        WHERE {_FITS}
    ) t WHERE {_SESSION_FITS} {_BOUND} {_ORDERED} LIMIT $2
"""  # noqa: S608
OF_ONE = f"""
    WITH of_one AS MATERIALIZED (
        SELECT {_WALKED} FROM chat.traces t
        WHERE t.w3c_trace_id = $10 AND (cardinality($1::text[]) = 0 OR t.user_id = ANY ($1)) AND {_FITS}
        LIMIT {MOST_OF_ONE})
    SELECT user_id, trace_id, started_at FROM of_one t WHERE {_SESSION_FITS} {_ORDERED} LIMIT $2
"""  # noqa: S608
TAGGED = """
    SELECT user_id, session_id FROM tagging.session_tags
    WHERE (cardinality($1::text[]) = 0 OR user_id = ANY ($1)) AND session_tag >= $2 AND session_tag < $3
        AND deleted_at IS NULL LIMIT $4
"""
TAGGED_THEMSELVES = """
    SELECT user_id, trace_id FROM chat.traces
    WHERE (cardinality($1::text[]) = 0 OR user_id = ANY ($1))
        AND session_tag COLLATE "C" >= $2 AND session_tag COLLATE "C" < $3 LIMIT $4
"""
IN_PROJECTS = """
    SELECT owner.user_id, found.session_id
    FROM unnest($1::text[]) AS owner (user_id)
    CROSS JOIN unnest($2::text[]) AS project (project_id)
    CROSS JOIN unnest('{false,true}'::boolean[]) AS kind (archived)
    CROSS JOIN LATERAL (
        SELECT m.session_id FROM chat.session_marks m
        WHERE m.user_id = owner.user_id AND m.archived = kind.archived AND m.kind = 'project_id'
            AND m.value = project.project_id LIMIT $3) found
    LIMIT $3
"""


async def trace_keys(
    db: Connection, whose: Whose, wanted: TraceFilter, limit: int, before: Place | None, *, running: bool = False
) -> list[Key]:
    """Return up to `limit` stored traces from this place on, the newest first: that run, or that are over."""
    arguments = _arguments(whose, wanted, limit, before, running=running)
    if wanted.w3c_trace_id is not None:
        return _keys(await db.fetch(OF_ONE, *arguments))
    if wanted.asks_for_sessions:
        found = await _among_few(db, whose, wanted, limit, arguments)
        if found is not None:
            return found
    return _keys(await db.fetch(WALKS[whose.everybody], *arguments))


async def _among_few(
    db: Connection, whose: Whose, wanted: TraceFilter, limit: int, arguments: Sequence[Any]
) -> list[Key] | None:
    """Return the page where a short walk finds it, or few sessions have what is asked for; else None."""
    tags = wanted.tags
    if tags is None or tags.is_prefix:  # a whole tag is one session's
        rows = await db.fetch(LOOKS[whose.everybody], *arguments)
        found = _keys(row for row in rows if row["trace_id"] is not None)
        if len(found) == limit or rows[0]["number"] < LOOKED_THROUGH:
            return found
    sessions, traces = await _tagged(db, whose, tags) if tags else (await _in_projects(db, whose, wanted), [])
    if len(sessions) > RARE or len(traces) > RARE:
        return None
    return _keys(await db.fetch(OF_SESSIONS, *arguments, *_columns(sessions), *_columns(traces)))


async def _tagged(db: Connection, whose: Whose, tags: TagRange) -> tuple[list[Key], list[Key]]:
    """Return sessions that have such a tag, and traces that brought one; one more than are few."""
    wanted = list(whose.user_ids), tags.first, tags.before, RARE + 1
    sessions = await db.fetch(TAGGED, *wanted)
    traces = await db.fetch(TAGGED_THEMSELVES, *wanted)
    return [(row["user_id"], row["session_id"]) for row in sessions], _keys(traces)


async def _in_projects(db: Connection, whose: Whose, wanted: TraceFilter) -> list[Key]:
    rows = await db.fetch(IN_PROJECTS, list(whose.user_ids), list(wanted.projects or ()), RARE + 1)
    return [(row["user_id"], row["session_id"]) for row in rows]


def _arguments(
    whose: Whose, wanted: TraceFilter, limit: int, before: Place | None, *, running: bool
) -> tuple[Any, ...]:
    """Return what all these statements know as $1 to $14."""
    tags = wanted.tags
    return (
        list(whose.user_ids),
        limit,
        *(before or (None, None)),
        wanted.session_id,
        wanted.model,
        RUNNING if running else wanted.status,
        wanted.since,
        wanted.until,
        wanted.w3c_trace_id,
        *((tags.first, tags.before) if tags else (None, None)),
        None if wanted.projects is None else list(wanted.projects),
        whose.as_admin,
    )


def _keys(rows: Iterable[asyncpg.Record]) -> list[Key]:
    return [(row["user_id"], row["trace_id"]) for row in rows]


def _columns(keys: Sequence[Key]) -> tuple[list[str], list[str]]:
    return [user_id for user_id, _ in keys], [each for _, each in keys]
