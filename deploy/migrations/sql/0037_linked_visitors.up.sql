-- Visitors who have signed in: their chats are the user's since, and stay under the visitor, who is their owner in every key.
CREATE TABLE gateway.linked_visitors (
    visitor_id text COLLATE "C" PRIMARY KEY,
    user_id text COLLATE "C" NOT NULL,
    linked_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX linked_visitors_of_user ON gateway.linked_visitors (user_id, linked_at);
CREATE INDEX linked_visitors_by_time ON gateway.linked_visitors (linked_at);
SELECT tripthread.protect('gateway.linked_visitors', 'tripthread_gateway', 'user_id');
