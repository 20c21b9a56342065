"""Places in the list of traces, in which what runs comes before what is over. Pure."""

from services.gateway.analytics.traces.filters import RUNNING
from services.gateway.analytics.traces.record import Trace
from services.gateway.http.requests.cursors import Place

# A place's id begins with the part of the list that it is in.
OVER = "over"


def order_of(trace: Trace) -> Place:
    """Return by what traces of one part are ordered."""
    return trace.started_at, trace.trace_id


def place_of(part: str, trace: Trace) -> Place:
    """Return a trace's place in the list, as a cursor has it."""
    return trace.started_at, f"{part}/{trace.trace_id}"


def part_of(place: Place | None) -> tuple[str, Place | None]:
    """Return in which part of the list a page begins, and after what."""
    if place is None:
        return RUNNING, None
    at, key = place
    part, _, trace_id = key.partition("/")
    return part, (at, trace_id)


def read_key(key: str) -> str:
    """Read the id in a cursor.

    Raises:
        ValueError: It is none.
    """
    if key.partition("/")[0] not in (RUNNING, OVER):
        raise ValueError("is in no part of the list")
    return key
