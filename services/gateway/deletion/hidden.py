"""What was deleted and is not gone yet, where no policy hides it: from administrators, who read everybody's rows."""


def is_shown(alias: str, since: str) -> str:
    """Spell the condition that a row is not to go: of which table, and since when what it tells of is there.

    Seldom is there anything to look for, which is found out once in a statement.
    """
    return f"""
    ((SELECT NOT EXISTS (SELECT FROM gateway.deletions WHERE settled_at IS NULL)
        AND NOT EXISTS (SELECT FROM gateway.erasures WHERE done_at IS NULL))
    OR NOT tripthread.is_hidden({alias}.user_id, {alias}.session_id, {since}))
    """  # noqa: S608 - both are its callers' constants
