"""When what was deleted may be swept: once nobody writes any more who may not have seen the note of it.

A statement sees what was committed when it began, so one that began before the note's commit may still write what the
note forbids. What was given a transaction id is known to be over by the snapshot, whoever's it is; what has none yet,
by when it began, as far as the login may see that: its own.

The note itself can't tell when it was committed, and somebody may begin between its clock and its commit. So its
`noted_at` is 'infinity', which waits for everybody, until a sweep that finds it committed writes `FOUND`.
"""

# `noted_at`: a column of the note, the clock when it was found.
SEEN_BY_ALL = """NOT EXISTS (SELECT FROM pg_stat_activity AS writing
    WHERE writing.usename = current_user AND writing.pid <> pg_backend_pid() AND writing.xact_start < {noted_at})"""
# Of a table with both columns: `noted_by` is the transaction id of the note, or of whoever found it.
NOTED = f"pg_snapshot_xmin(pg_current_snapshot()) > noted_by AND {SEEN_BY_ALL.format(noted_at='noted_at')}"
# What a sweep sets, by a statement of its own, WHERE noted_at = 'infinity': lest under load it never finds all at rest.
FOUND = "noted_by = pg_current_xact_id(), noted_at = clock_timestamp()"
