"""Find the stored sessions of a page: by a walk in the list's order, or from the few that a mark is on."""

from collections.abc import Sequence
from typing import Any

from services.gateway.http.requests.cursors import Place
from services.gateway.sessions.finding.filters import SessionFilter
from shared.database import Connection

Key = tuple[str, str]  # owner and session id

RARE = 500  # sessions with a mark: so many are sorted, of more a page is found by walking
# Else the planner reads all that somebody has, and sorts it, where it knows a table's size badly; and after some pages
# takes one plan for any filters.
PLANNED_BY_VALUES = """
    SET LOCAL plan_cache_mode = force_custom_plan; SET LOCAL enable_sort = off; SET LOCAL enable_bitmapscan = off
"""

_FITS = """
    s.deleted_at IS NULL
    AND (s.last_activity_at, s.session_id) < (coalesce($3::timestamptz, 'infinity'), coalesce($4::text, ''))
    AND ($5::text IS NULL OR s.helper = $5)
    AND ($6::text IS NULL OR s.project_id = $6)
    AND ($7::text IS NULL OR s.model = $7)
    AND ($8::text IS NULL OR s.folder = $8)
    AND ($9::text[] = '{}' OR s.labels @> $9)
    AND s.archived = $10
    AND ($12::text[] IS NULL OR s.project_id = ANY ($12))
"""
# Each owner's index is read from its place on, so that two owners need no sort of everything they have; and so are
# pinned sessions and others, which the indexes keep apart.
WALK = f"""
    SELECT page.user_id, page.session_id, page.last_activity_at
    FROM unnest($1::text[]) AS owner (user_id) CROSS JOIN unnest($11::boolean[]) AS kind (pinned)
    CROSS JOIN LATERAL (
        SELECT s.user_id, s.session_id, s.last_activity_at FROM chat.sessions s
        WHERE s.user_id = owner.user_id AND s.pinned = kind.pinned AND {_FITS}
        ORDER BY s.last_activity_at DESC, s.session_id DESC LIMIT $2
    ) page
    ORDER BY page.last_activity_at DESC, page.session_id DESC LIMIT $2
"""  # noqa: S608 - a constant of this module, here and below
# OFFSET 0: each is found by its key before anything else is asked of it, or the planner may walk for each.
OF_THESE = f"""
    SELECT s.user_id, s.session_id
    FROM unnest($1::text[], $13::text[]) AS marked (user_id, session_id)
    CROSS JOIN LATERAL (
        SELECT * FROM chat.sessions own
        WHERE own.user_id = marked.user_id AND own.session_id = marked.session_id OFFSET 0) s
    WHERE s.pinned = ANY ($11::boolean[]) AND {_FITS}
    ORDER BY s.last_activity_at DESC, s.session_id DESC LIMIT $2
"""  # noqa: S608
# For one owner after the other, or the primary key would be as good as the tag's where a table's size is not known.
TAGGED = """
    SELECT owner.user_id, found.session_id
    FROM unnest($1::text[]) AS owner (user_id)
    CROSS JOIN LATERAL (
        SELECT t.session_id FROM tagging.session_tags t
        WHERE t.user_id = owner.user_id AND t.session_tag = $2 AND t.deleted_at IS NULL LIMIT $3) found
"""
MARKED = """
    SELECT mark.number, owner.user_id, found.session_id
    FROM unnest($1::text[]) AS owner (user_id)
    CROSS JOIN unnest($2::int[], $3::text[], $4::text[]) AS mark (number, kind, value)
    CROSS JOIN LATERAL (
        SELECT m.session_id FROM chat.session_marks m
        WHERE m.user_id = owner.user_id AND m.archived = $5 AND m.kind = mark.kind AND m.value = mark.value
        LIMIT $6) found
"""


async def page_keys(
    db: Connection, user_ids: Sequence[str], wanted: SessionFilter, limit: int, before: Place | None
) -> list[Key]:
    """Return up to `limit` sessions from this place on, the newest activity first."""
    marked = await marked_keys(db, user_ids, wanted)
    if marked is not None:
        return await of_these(db, marked, wanted, limit, before)
    keys, _ = await walk(db, user_ids, wanted, limit, before)
    return keys


async def walk(
    db: Connection, user_ids: Sequence[str], wanted: SessionFilter, limit: int, before: Place | None
) -> tuple[list[Key], Place | None]:
    """Return the same by a walk in the list's order, and the place of the last."""
    rows = await db.fetch(WALK, list(user_ids), *_arguments(wanted, limit, before))
    last = (rows[-1]["last_activity_at"], rows[-1]["session_id"]) if rows else None
    return [(row["user_id"], row["session_id"]) for row in rows], last


async def of_these(
    db: Connection, keys: Sequence[Key], wanted: SessionFilter, limit: int, before: Place | None
) -> list[Key]:
    """Return the same of no other sessions than these."""
    owners, sessions = [user_id for user_id, _ in keys], [session_id for _, session_id in keys]
    rows = await db.fetch(OF_THESE, owners, *_arguments(wanted, limit, before), sessions)
    return [(row["user_id"], row["session_id"]) for row in rows]


def _arguments(wanted: SessionFilter, limit: int, before: Place | None) -> tuple[Any, ...]:
    """Return what `_FITS` and both statements know as $2 to $12."""
    return (
        limit,
        *(before or (None, None)),
        wanted.helper,
        wanted.project_id,
        wanted.model,
        wanted.folder,
        list(wanted.label),
        wanted.archived,
        [False, True] if wanted.pinned is None else [wanted.pinned],
        None if wanted.projects is None else list(wanted.projects),
    )


async def marked_keys(db: Connection, user_ids: Sequence[str], wanted: SessionFilter) -> list[Key] | None:
    """Return the few sessions that have the tag, or the rarest of the marks; None where nothing rare is asked for."""
    if wanted.tag is not None:  # a tag is one session's
        rows = await db.fetch(TAGGED, list(user_ids), wanted.tag, RARE)
        return [(row["user_id"], row["session_id"]) for row in rows]
    marks = wanted.marks()
    if not marks:
        return None
    each = [(number, kind, value) for number, (kind, values) in enumerate(marks) for value in values]
    numbers, kinds, values = ([mark[place] for mark in each] for place in range(3))
    found: list[list[Key]] = [[] for _ in marks]
    for row in await db.fetch(MARKED, list(user_ids), numbers, kinds, values, wanted.archived, RARE + 1):
        found[row["number"]].append((row["user_id"], row["session_id"]))
    rarest = min(found, key=len)
    return rarest if len(rarest) <= RARE else None
