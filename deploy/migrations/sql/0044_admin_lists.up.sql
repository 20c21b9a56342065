-- Administrators' lists: the messages of one user in the order in which they were stored, who had a user erased, and how long
-- the queues were.

-- Of all users `messages_by_stored` has that order. Only who says `revision >= 0`, which is true of every row, may be planned
-- by this one: see 0028_trips_of_all.
CREATE INDEX messages_of_user ON chat.messages (user_id, stored_at) WHERE revision >= 0;

ALTER TABLE gateway.erasures ADD COLUMN operator text;  -- the administrator who asked for it; none: its user did

-- What gateways have seen of each queue in each minute of the last hour.
CREATE TABLE gateway.queue_minutes (
    queue text COLLATE "C" NOT NULL,
    minute timestamptz NOT NULL,
    messages integer NOT NULL,                   -- that waited, the most
    consumers integer NOT NULL,                  -- the fewest
    emptied_at timestamptz,                      -- when it was last seen empty, then or before; none: nobody knows
    PRIMARY KEY (queue, minute)
);
SELECT tripthread.protect('gateway.queue_minutes', 'tripthread_gateway', '');
