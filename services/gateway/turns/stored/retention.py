"""Turns that nobody could store go by their age, where an operator has said so; all others go after a day."""

from services.gateway.turns.stored.rows import IS_TOLD
from shared.jobs.retention import Kind

TURNS = Kind(
    "turns",
    "gateway.turns",
    "place",
    among="stored_at IS NULL AND state <> 'running'",
    # Told once more in vain when the logger had read all that waited: it was refused, and lies in `dead`, as far as it
    # is kept there. What the broker does not have, or the logger has not read yet, stays; so does what asks its user,
    # for as long as they may answer.
    may_go=f"{IS_TOLD} AND retold_at IS NOT NULL AND waits_until IS NULL",
    is_missed="true",  # its user still reads it
)
