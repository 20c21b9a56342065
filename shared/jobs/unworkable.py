"""Tell a fault of one piece of stored work from a fault of what it is worked with.

A piece that raises what nobody foresaw would raise it again after every restart, and be the first in line each time: so
it is given up with its reason, and the others go on. What is away is nobody's fault, and is waited for.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from prometheus_client import Counter

from shared.broker.connection import describe
from shared.consuming.parking import header_text
from shared.database import DATABASE_ERRORS, Fault, fault_of
from shared.errors import TripthreadError

UNWORKABLE = Counter("tripthread_unworkable_total", "Pieces of work that raised what nobody foresaw")

log = structlog.get_logger(__name__)


class Unworkable(TripthreadError):
    """This piece of work can't be done, whatever else is well."""

    code = "unworkable"


@contextmanager
def own_faults() -> Iterator[None]:
    """Run the block, which works one piece.

    Raises:
        Unworkable: The piece raised what nobody foresaw, or what the database never takes.
        Exception: What was foreseen (`TripthreadError`), and a database that is away, as they are.
    """
    try:
        yield
    except TripthreadError:
        raise
    except Exception as error:
        if isinstance(error, DATABASE_ERRORS) and fault_of(error) is not Fault.MESSAGE:
            raise
        UNWORKABLE.inc()
        log.exception("a piece of work raises")
        raise Unworkable(header_text(describe(error))) from error  # which may repeat what it is about
