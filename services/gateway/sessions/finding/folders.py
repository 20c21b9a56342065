"""The caller's folders and labels, each with how many sessions a list by it shows."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel

from services.gateway.account.identity import CallerDep
from services.gateway.account.limits.lanes import Lanes
from services.gateway.account.projects import Projects
from services.gateway.http.answers.problems import problem_responses
from services.gateway.http.handed import from_app
from services.gateway.http.requests.strict_route import StrictRoute
from services.gateway.sessions.finding.page_keys import PLANNED_BY_VALUES
from shared.database import Pool, reading

MOST_NAMES = 200  # of each kind
MOST_COUNTED = 1000  # sessions of each name

router = APIRouter(tags=["sessions"], route_class=StrictRoute)


class Counted(BaseModel):
    name: str
    count: int


class FolderAnswer(BaseModel):
    folders: list[Counted]
    labels: list[Counted]


class FolderQueries:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def counts(self, user_ids: Sequence[str], projects: Projects) -> Counter[tuple[str, str]]:
        """Count the sessions of each (kind, name) that are not archived, and of these projects, up to `MOST_COUNTED`.

        One name leads to the next along the index, so nothing is read of the sessions between.
        """
        async with reading(self._pool, *user_ids, first=PLANNED_BY_VALUES) as db:
            rows = await db.fetch(
                """
                WITH RECURSIVE name (user_id, kind, value, number) AS (
                    SELECT owner.user_id, kind.kind, first.value, 1
                    FROM unnest($1::text[]) AS owner (user_id) CROSS JOIN (VALUES ('folder'), ('label')) AS kind (kind)
                    CROSS JOIN LATERAL (
                        SELECT m.value FROM chat.session_marks m
                        WHERE m.user_id = owner.user_id AND m.archived = false AND m.kind = kind.kind
                        ORDER BY m.value LIMIT 1) first
                    UNION ALL
                    SELECT name.user_id, name.kind, next.value, name.number + 1
                    FROM name CROSS JOIN LATERAL (
                        SELECT m.value FROM chat.session_marks m
                        WHERE m.user_id = name.user_id AND m.archived = false AND m.kind = name.kind
                            AND m.value > name.value
                        ORDER BY m.value LIMIT 1) next
                    WHERE name.number < $3
                )
                SELECT name.kind, name.value, counted.count
                FROM name CROSS JOIN LATERAL (
                    SELECT count(*) FROM (
                        SELECT m.session_id FROM chat.session_marks m
                        WHERE m.user_id = name.user_id AND m.archived = false AND m.kind = name.kind
                            AND m.value = name.value
                        LIMIT $4) marked
                    WHERE $2::text[] IS NULL OR EXISTS (
                        SELECT FROM chat.sessions s
                        WHERE s.user_id = name.user_id AND s.session_id = marked.session_id
                            AND s.project_id = ANY ($2))) counted
                WHERE counted.count > 0
                """,
                list(user_ids),
                None if projects is None else list(projects),
                MOST_NAMES,
                MOST_COUNTED,
            )
        counts: Counter[tuple[str, str]] = Counter()
        for row in rows:
            counts[row["kind"], row["value"]] += row["count"]
        return counts


@dataclass(frozen=True)
class Folders:
    """What the route works with."""

    queries: FolderQueries
    lanes: Lanes


@router.get("/api/chat/folders", responses=problem_responses(401, 422, 429, 503))
async def list_folders(folders: Annotated[Folders, from_app(Folders)], caller: CallerDep) -> FolderAnswer:
    """List the caller's folders and labels, by name."""
    async with folders.lanes.of(caller):
        counts = await folders.queries.counts(caller.user_ids, caller.projects)
    named = {"folder": list[Counted](), "label": list[Counted]()}
    for (kind, name), count in sorted(counts.items()):
        named[kind].append(Counted(name=name, count=count))
    return FolderAnswer(folders=named["folder"], labels=named["label"])
