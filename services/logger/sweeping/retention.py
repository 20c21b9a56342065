"""What of the logger's goes by its age, where an operator has said after how many days."""

from shared.jobs.retention import Kind

TRACES = Kind(
    "traces",
    "chat.traces",
    "started_at",
    # Whoever tells of a call says when it began, and may say anything.
    since="coalesce(accepted_at, started_at)",
)
READS = Kind("reads", "chat.conversation_reads", "occurred_at", among="items > 0")  # as the index has it
DEAD_LETTERS = Kind(
    "dead_letters",
    "chat.dead_letters",
    "received_at",
    since="coalesce(decided_at, received_at)",
    is_missed="state = 'parked'",
)
KINDS = (TRACES, READS, DEAD_LETTERS)
