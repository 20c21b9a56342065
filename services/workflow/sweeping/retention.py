"""What of the workflow's goes by its age, where an operator has said after how many days."""

from shared.jobs.retention import Kind

DELIVERIES = Kind(
    "deliveries",
    "workflow.deliveries",
    "received_at",
    since="coalesce(reprocessed_at, received_at)",
    # Those that are still tried stay: see `leave_unmatched` of store/deliveries.py.
    may_go="state <> 'due' AND (state <> 'unmatched' OR due_at = 'infinity')",
)
KINDS = (DELIVERIES,)
