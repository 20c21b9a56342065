"""What an export has: every table that names a user, and what hangs on their trips.

`tests/connected/gateway/privacy/test_export.py` holds it against the catalogue: a later table fails there until it
stands here, or there with its reason.
"""

from dataclasses import dataclass

OWN = "t.user_id = $1"
OF_OWN_TRIPS = """t.trip_id = ANY (ARRAY(
    SELECT tie.trip_id FROM workflow.trip_sessions tie WHERE tie.user_id = $1 AND tie.deleted_at IS NULL))"""


@dataclass(frozen=True)
class Kind:
    """The rows of one table."""

    table: str
    # What tells the rows of one owner apart, in the order in which they are read: as an index has it behind the
    # owner, or others' rows would be looked at, too.
    key: tuple[str, ...]
    without: tuple[str, ...] = ()  # columns: hashes and tokens, and what is of the machine that keeps them
    large: tuple[str, ...] = ()  # columns that make a row large
    which: str = OWN
    instead: str = "'{}'::jsonb"  # what columns are spelled as


SWEPT = ("noted_by", "noted_at", "swept_at")  # of what was deleted
# The turns first: what is stored while the export goes on is then in it twice, and not missing.
KINDS = (
    Kind(
        "gateway.turns",
        ("session_id", "turn_id"),
        # `counted` names an address by a hash; what was counted is among the days of use.
        ("body_hash", "nonce", "owner", "counted"),
        ("question", "answer", "partial", "partial_parts", "partial_rounds", "past"),
        # `history` is a hash of what a client sent.
        instead="""jsonb_build_object('question', t.question - 'history', 'answer', t.answer - 'history', 'past', (
            SELECT jsonb_agg(attempt #- '{answer,history}' ORDER BY place)
            FROM jsonb_array_elements(t.past) WITH ORDINALITY AS tried (attempt, place)))""",
    ),
    Kind("gateway.session_openings", ("body_hash",), ("body_hash",), ("opening",)),
    Kind("chat.sessions", ("session_id",), SWEPT, ("metadata",), f"{OWN} AND t.deleted_at IS NULL"),
    # `conversation` is that hash once more.
    Kind("chat.messages", ("session_id", "message_id"), ("conversation",), ("content", "parts", "metadata")),
    Kind("chat.traces", ("trace_id",), (), ("attributes", "error")),
    Kind("chat.feedback", ("session_id", "message_id"), (), ("comment",)),
    Kind("chat.templates", ("template_id",), (), ("template",), f"{OWN} AND t.deleted_at IS NULL"),
    Kind(
        "chat.conversation_reads",
        ("occurred_at", "read_id"),
        (),
        ("query",),
        # Not what was searched for: the same page may have shown others, whom it names.
        instead="""jsonb_build_object('query', (SELECT coalesce(jsonb_object_agg(name, said), '{}')
            FROM jsonb_each(t.query) AS asked (name, said) WHERE name IN ('path', 'reason')))""",
    ),
    Kind(
        "chat.dead_letters",
        ("dead_letter_id",),
        ("dedupe_key",),
        ("body", "headers"),
        # A session that is just being deleted is in them by its name.
        f"""{OWN} AND NOT EXISTS (SELECT FROM gateway.deletions d WHERE d.user_id = $1 AND d.settled_at IS NULL
            AND position(convert_to(d.session_id, 'UTF8') IN t.body) > 0)""",
        "jsonb_build_object('body', encode(t.body, 'base64'))",
    ),
    Kind("tagging.session_tags", ("session_id",), which=f"{OWN} AND t.deleted_at IS NULL"),
    Kind("tagging.counters", ("model_id",)),
    Kind("gateway.users", ("user_id",)),
    Kind("gateway.linked_visitors", ("visitor_id",)),
    Kind("gateway.api_keys", ("key_id",), ("key_hash",)),
    Kind("gateway.browser_sessions", ("browser_session_id",), ("token_hash",)),
    Kind("gateway.login_links", ("token_hash",), ("token_hash",)),
    Kind("gateway.shares", ("session_id", "share_id"), ("token_hash",)),
    Kind("gateway.shared_with", ("share_id",)),
    Kind("gateway.withheld_responses", ("turn_id",)),
    Kind("gateway.usage", ("day",)),
    Kind("workflow.trip_sessions", ("session_id", "trip_id"), which=f"{OWN} AND t.deleted_at IS NULL"),
    Kind("workflow.requests", ("session_id", "request_id"), (), ("segments", "criteria")),
    Kind("workflow.proposals", ("session_id", "proposal_id"), (), ("content", "note")),
    Kind("workflow.proposal_sends", ("session_id", "event_id"), (), ("message",)),
    Kind("workflow.trips", ("trip_id",), (), ("route", "workflow_state", "metadata"), OF_OWN_TRIPS),
    Kind("workflow.cancellations", ("trip_id",), (), ("message",), OF_OWN_TRIPS),
    Kind("workflow.rfqs", ("trip_id", "rfq_id"), which=OF_OWN_TRIPS),
    Kind("workflow.lifts", ("trip_id", "lift_id"), which=OF_OWN_TRIPS),
    Kind("workflow.quotes", ("trip_id", "quote_id"), (), ("message",), OF_OWN_TRIPS),
    Kind("workflow.trip_messages", ("trip_id", "avinode_message_id"), (), ("content",), OF_OWN_TRIPS),
    Kind("workflow.notes", ("trip_id", "note_id"), (), ("says",), OF_OWN_TRIPS),
)
