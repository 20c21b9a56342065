"""The quote that a trip is shown with: the one that somebody chose, until then the first that a seller stands to.

SQL about a row `t` of workflow.trips. What a seller stands to is what services/workflow/steps.py counts as received.
"""

# The id of the seller's quote that came first, of those that stand.
FIRST_STANDING = """
    SELECT q.quote_id
    FROM workflow.quotes q
    JOIN workflow.rfqs r ON r.rfq_id = q.rfq_id AND r.trip_id = t.trip_id
    LEFT JOIN workflow.lifts l ON l.lift_id = q.lift_id AND l.trip_id = t.trip_id
    WHERE q.trip_id = t.trip_id AND NOT q.estimate AND q.current AND NOT r.canceled AND NOT r.declined
        AND l.sourcing_status IS DISTINCT FROM 3  -- a lift that its operator has declined, by number or by name
        AND lower(coalesce(l.sourcing_display_status, '')) <> 'declined'
    ORDER BY coalesce(q.quoted_at, q.seen_at), q.quote_id LIMIT 1
"""
HAS_PRIMARY = f"(t.primary_quote_id IS NOT NULL OR EXISTS ({FIRST_STANDING}))"
