"""The rows of chat.dead_letters: what nobody could process, and what operators decided about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from services.logger.dead_letters.known import DeadLetter
from services.logger.dead_letters.owners import is_older
from services.logger.reducing.reduction import Decision
from shared.database import Connection
from shared.errors import UnknownType
from shared.events import DeadLetterReplayed, Json

BATCH = 100
BATCH_BYTES = 8_000_000


@dataclass(frozen=True, slots=True)
class Refused:
    """A parked message of a type that its queue's consumer did not know, to be sent back."""

    dead_letter_id: UUID
    event_id: UUID | None
    event_name: str
    body: bytes
    headers: Json
    arrivals: int


async def park(db: Connection, letters: Sequence[DeadLetter]) -> None:
    """Keep dead letters.

    One that is there already counts its arrivals, and says why it was refused last. One that was replayed has been
    refused again, and is parked again; one that was dropped stays dropped.
    """
    rows = {letter.dead_letter_id: letter for letter in await _not_gone(db, letters)}
    if not rows:
        return
    await db.execute(
        """
        INSERT INTO chat.dead_letters AS letter (dead_letter_id, queue, dedupe_key, event_id, event_name, body,
            headers, reason, error, user_id)
        SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::text[], $6::bytea[],
            $7::jsonb[], $8::text[], $9::text[], $10::text[]) AS came (dead_letter_id, queue, dedupe_key)
        ORDER BY dead_letter_id
        ON CONFLICT (dead_letter_id) DO UPDATE SET
            arrivals = letter.arrivals + 1,
            state = CASE letter.state WHEN 'dropped' THEN 'dropped' ELSE 'parked' END,
            decided_by = CASE letter.state WHEN 'dropped' THEN letter.decided_by END,
            decided_at = CASE letter.state WHEN 'dropped' THEN letter.decided_at END,
            received_at = CASE letter.state WHEN 'replayed' THEN excluded.received_at
                ELSE letter.received_at END,
            headers = CASE letter.state WHEN 'dropped' THEN letter.headers ELSE excluded.headers END,
            reason = CASE letter.state WHEN 'dropped' THEN letter.reason ELSE excluded.reason END,
            error = CASE letter.state WHEN 'dropped' THEN letter.error ELSE excluded.error END
        """,
        list(rows),
        [letter.queue for letter in rows.values()],
        [letter.dedupe_key for letter in rows.values()],
        [letter.event_id for letter in rows.values()],
        [letter.event_name for letter in rows.values()],
        [letter.body for letter in rows.values()],
        [letter.headers for letter in rows.values()],
        [letter.reason for letter in rows.values()],
        [letter.error for letter in rows.values()],
        [letter.user_id for letter in rows.values()],
    )


async def _not_gone(db: Connection, letters: Sequence[DeadLetter]) -> list[DeadLetter]:
    """Return those that are of no deleted session, nor of a user who was erased since."""
    named = [letter for letter in letters if letter.user_id is not None]
    if not named:
        return list(letters)
    rows = await db.fetch(
        """
        SELECT DISTINCT named.user_id, ledger.erased_at,
            CASE WHEN s.deleted_at IS NOT NULL THEN named.session_id END AS deleted
        FROM unnest($1::text[], $2::text[]) AS named (user_id, session_id)
        LEFT JOIN chat.erased_users ledger ON ledger.user_hash = tripthread.user_hash(named.user_id)
        LEFT JOIN chat.sessions s ON (s.user_id, s.session_id) = (named.user_id, named.session_id)
        """,
        [letter.user_id for letter in named],
        [letter.session_id for letter in named],
    )
    erased = {row["user_id"]: row["erased_at"] for row in rows if row["erased_at"] is not None}
    deleted = {(row["user_id"], row["deleted"]) for row in rows if row["deleted"] is not None}
    return [
        letter
        for letter in letters
        if (letter.user_id, letter.session_id) not in deleted
        and not (letter.user_id in erased and is_older(letter.accepted_at, erased[letter.user_id]))
    ]


async def decide(db: Connection, decisions: Sequence[Decision]) -> None:
    """Write down what operators decided, at most one decision a letter.

    A drop is final. A replay is overtaken by a copy that has arrived since its operator looked: the letter was refused
    again, and nobody has seen to that. Arrivals tell it, not clocks, which need not agree.
    """
    decisions = sorted(decisions, key=lambda decision: decision.dead_letter_id)
    await db.execute(
        """
        UPDATE chat.dead_letters AS letter
        SET state = decided.state, decided_by = decided.operator, decided_at = decided.occurred_at
        FROM (
            SELECT decision.* FROM chat.dead_letters JOIN
                unnest($1::uuid[], $2::text[], $3::int[], $4::text[], $5::timestamptz[])
                AS decision (dead_letter_id, state, arrivals, operator, occurred_at) USING (dead_letter_id)
            ORDER BY dead_letter_id FOR UPDATE OF dead_letters
        ) AS decided
        WHERE letter.dead_letter_id = decided.dead_letter_id
            AND CASE decided.state WHEN 'dropped' THEN letter.state <> 'dropped'
                ELSE letter.state = 'parked' AND letter.arrivals <= decided.arrivals END
        """,
        [decision.dead_letter_id for decision in decisions],
        ["replayed" if isinstance(decision, DeadLetterReplayed) else "dropped" for decision in decisions],
        [decision.arrivals if isinstance(decision, DeadLetterReplayed) else None for decision in decisions],
        [decision.operator for decision in decisions],
        [decision.occurred_at for decision in decisions],
    )


async def refused_as_unknown(db: Connection, queue: str, names: Sequence[str], after: UUID | None) -> list[Refused]:
    """Return the next parked letters of these types that `queue` did not know, by id: a batch of limited size."""
    rows = await db.fetch(
        """
        WITH next AS (
            SELECT dead_letter_id, event_id, event_name, body, headers, arrivals FROM chat.dead_letters
            WHERE state = 'parked' AND reason = $1 AND queue = $2 AND event_name = ANY ($3::text[])
                AND ($4::uuid IS NULL OR dead_letter_id > $4)
            ORDER BY dead_letter_id LIMIT $5
        ), sized AS (
            SELECT *, sum(octet_length(body)) OVER (ORDER BY dead_letter_id) - octet_length(body) AS bytes_before
            FROM next
        )
        SELECT dead_letter_id, event_id, event_name, body, headers, arrivals FROM sized
        WHERE bytes_before < $6 ORDER BY dead_letter_id
        """,
        UnknownType.code,
        queue,
        names,
        after,
        BATCH,
        BATCH_BYTES,
    )
    return [Refused(**row) for row in rows]
