"""What users set of their trips, settled field by field; within somebody's transaction, the trip's row locked."""

from typing import Any
from uuid import UUID

from shared.database import Connection
from shared.events import Json, TripChanged

Stamp = list[str]  # [accepted_at, event id]


async def set_fields(db: Connection, event: TripChanged) -> None:
    """Keep what a change says of each field that nobody has set since. A quote must be one of the trip's."""
    stamps = await db.fetchval("SELECT field_stamps FROM workflow.trips WHERE trip_id = $1", event.trip_id)
    won = winning(stamps, event)
    if event.primary_quote_id is not None and not await _has_quote(db, event.trip_id, event.primary_quote_id):
        won.pop("primary_quote_id", None)
    values: Json = {name: getattr(event, name) for name in won if name != "status"}
    if "status" in won:
        values["paused_at"] = event.accepted if event.status == "paused" else None
    await _write(db, event.trip_id, won, values)
    if "status" in won and event.status == "active":  # whoever takes it up again is active there
        await db.execute(
            "UPDATE workflow.trips SET last_activity_at = greatest(last_activity_at, $2) WHERE trip_id = $1",
            event.trip_id,
            event.accepted,
        )


async def keep_newest(db: Connection, kept: UUID, other: UUID) -> None:
    """Give a trip that turned out to be two what was set last of each field, and cancel it if either is to be."""
    rows = await db.fetch(
        f"SELECT trip_id, field_stamps, {', '.join(_COLUMNS)} FROM workflow.trips WHERE trip_id IN ($1, $2)",  # noqa: S608
        kept,
        other,
    )
    found = {row["trip_id"]: row for row in rows}
    mine, theirs = found[kept]["field_stamps"], found[other]["field_stamps"]
    won = {name: stamp for name, stamp in theirs.items() if mine.get(name, []) < stamp}
    values = {_COLUMN_OF.get(name, name): found[other][_COLUMN_OF.get(name, name)] for name in won}
    await _write(db, kept, won, values)
    await db.execute(
        """
        UPDATE workflow.cancellations SET trip_id = $1
        WHERE trip_id = $2 AND NOT EXISTS (SELECT FROM workflow.cancellations WHERE trip_id = $1)
        """,
        kept,
        other,
    )


def winning(stamps: dict[str, Stamp], event: TripChanged) -> dict[str, Stamp]:
    """Return the stamps of those fields that a change wins: by the time of acceptance, then by its id."""
    return {name: event.stamp for name in event.changed if stamps.get(name, []) < event.stamp}


_COLUMNS = ("primary_quote_id", "avinode_rfp_id", "workflow_state", "metadata", "paused_at")
_COLUMN_OF = {"status": "paused_at"}


async def _has_quote(db: Connection, trip_id: UUID, quote_id: str) -> bool:
    return bool(
        await db.fetchval(
            "SELECT EXISTS (SELECT FROM workflow.quotes WHERE trip_id = $1 AND quote_id = $2)", trip_id, quote_id
        )
    )


async def _write(db: Connection, trip_id: UUID, won: dict[str, Stamp], values: dict[str, Any]) -> None:
    if not won:
        return
    places = ", ".join(f"{column} = ${number}" for number, column in enumerate(values, start=3))
    await db.execute(
        f"""
        UPDATE workflow.trips SET field_stamps = field_stamps || $2, updated_at = clock_timestamp(), {places}
        WHERE trip_id = $1
        """,  # noqa: S608 - columns by their names above
        trip_id,
        won,
        *values.values(),
    )
