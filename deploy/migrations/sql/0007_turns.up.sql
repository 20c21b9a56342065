-- gateway.turns: a claim is known by a nonce of its own, a question that is asked again keeps its place, a turn's place in
-- its session is a column, and to renew a lease touches no index.

-- `place` rewrites the table: nobody claims a turn or reads one for as long as that takes.
ALTER TABLE gateway.turns
    ADD COLUMN nonce uuid,  -- of the claim, two of which may be of one turn and one request; none: an older gateway's
    ADD COLUMN known_at jsonb,  -- {message_id: created_at} of its messages that were said before; none: all are new
    ADD COLUMN place timestamptz NOT NULL  -- when the newest of its messages was said
        GENERATED ALWAYS AS (greatest(asked_at, answered_at)) STORED;
CREATE INDEX turns_by_place ON gateway.turns (user_id, session_id, place DESC);
DROP INDEX gateway.turns_of_session;  -- by asked_at, which nobody sorts a session by any more
-- An index of `lease_until` would be written at each renewal. Few turns run at once: turns_one_running finds them.
DROP INDEX gateway.turns_running;

-- A new page keeps room for the next versions of its rows, which is what spares the indexes: of six updates while a turn
-- runs, four to five then touch none; on full pages, none to four. What was rewritten above has ended, and needs no room.
ALTER TABLE gateway.turns SET (fillfactor = 70);
