"""Show what the conversation has become in the database."""

import asyncpg

QUERIES = {
    "chat.sessions": """
        SELECT title, message_count, last_message FROM chat.sessions WHERE user_id = $1""",
    "chat.messages": """
        SELECT role, status, CASE WHEN length(content) > 96 THEN left(content, 93) || '...' ELSE content END AS content
        FROM chat.messages WHERE user_id = $1 ORDER BY created_at, message_id""",
    "tagging.session_tags": """
        SELECT m.name AS model, t.number, t.session_tag
        FROM tagging.session_tags t JOIN tagging.models m USING (model_id) WHERE t.user_id = $1""",
    "workflow.trips": """
        SELECT t.trip_code, t.step, t.operators_contacted_count AS contacted, t.quotes_expected_count AS expected,
               t.quotes_received_count AS received
        FROM workflow.trips t JOIN workflow.trip_sessions s USING (trip_id) WHERE s.user_id = $1""",
    "workflow.deliveries": """
        SELECT d.kind, d.avinode_id, d.state, d.attempts
        FROM workflow.deliveries d JOIN workflow.trips t USING (trip_code) JOIN workflow.trip_sessions s USING (trip_id)
        WHERE s.user_id = $1 ORDER BY d.received_at, d.delivery_id""",
    "workflow.rfqs": """
        SELECT r.rfq_id, r.operator_name, r.declined, r.decline_reason
        FROM workflow.rfqs r JOIN workflow.trip_sessions s USING (trip_id) WHERE s.user_id = $1 ORDER BY r.rfq_id""",
    "workflow.quotes": """
        SELECT q.quote_id, q.rfq_id, q.estimate, q.current, q.price_cents / 100 AS price, q.currency
        FROM workflow.quotes q JOIN workflow.trip_sessions s USING (trip_id)
        WHERE s.user_id = $1 ORDER BY q.quote_id""",
    "workflow.proposals": """
        SELECT state, quote_ids, margin_percent, note, sent_at IS NOT NULL AS is_sent
        FROM workflow.proposals WHERE user_id = $1 ORDER BY prepared_at""",
}


async def read_tables(database_url: str, user_id: str) -> dict[str, list[dict[str, object]]]:
    """Return this user's rows, by table."""
    connection = await asyncpg.connect(database_url)
    try:
        return {name: [dict(row) for row in await connection.fetch(sql, user_id)] for name, sql in QUERIES.items()}
    finally:
        await connection.close()


def as_text(name: str, rows: list[dict[str, object]]) -> str:
    """Lay rows out under their columns' names."""
    if not rows:
        return f"{name}: no rows"
    cells = [list(rows[0]), *[["" if value is None else str(value) for value in row.values()] for row in rows]]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    return "\n".join([name, *(f"  {line}" for line in lines)])
