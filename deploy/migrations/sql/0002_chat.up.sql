-- chat: what was said. Written by the logger.
CREATE SCHEMA chat;
GRANT USAGE ON SCHEMA chat TO tripthread_logger, tripthread_reader, tripthread_admin;

CREATE TABLE chat.sessions (
    user_id text COLLATE "C" NOT NULL,
    session_id text COLLATE "C" NOT NULL,
    project_id text,
    helper text,
    model text,                                  -- of the newest message that names one
    model_at timestamptz,                        -- created_at of that message: it need not be the newest of all
    title text,
    title_source text NOT NULL DEFAULT 'none' CHECK (title_source IN ('none', 'message', 'user')),
    titled_at timestamptz,                       -- created_at of the message that gave the title
    message_count integer NOT NULL DEFAULT 0 CHECK (message_count >= 0),
    last_message text,                           -- preview of the newest message
    last_message_at timestamptz,                 -- its created_at
    last_activity_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at timestamptz,
    pinned boolean NOT NULL DEFAULT false,
    archived boolean NOT NULL DEFAULT false,
    folder text,
    labels text[] NOT NULL DEFAULT '{}',
    analytics boolean NOT NULL DEFAULT true,     -- off: no traces; messages and tag stay
    experiment_name text,
    forked_from text,                            -- a session_id of the same user
    metadata jsonb NOT NULL DEFAULT '{}',
    field_stamps jsonb NOT NULL DEFAULT '{}',    -- per edited field: [occurred_at, event_id] of its last writer
    deleted_at timestamptz,                      -- a tombstone: late messages find it and vanish
    PRIMARY KEY (user_id, session_id),
    CHECK ((title IS NULL) = (title_source = 'none'))
);
CREATE INDEX sessions_by_activity ON chat.sessions (user_id, last_activity_at DESC, session_id DESC)
    WHERE deleted_at IS NULL;
SELECT tripthread.protect('chat.sessions', 'tripthread_logger', 'user_id');

CREATE TABLE chat.messages (
    user_id text COLLATE "C" NOT NULL,
    session_id text COLLATE "C" NOT NULL,
    message_id text COLLATE "C" NOT NULL,
    role text NOT NULL CHECK (role IN ('user', 'assistant', 'system', 'tool')),
    content text NOT NULL,
    parts jsonb NOT NULL DEFAULT '[]',           -- AI SDK UI message parts
    model text,
    status text NOT NULL DEFAULT 'complete' CHECK (status IN ('complete', 'stopped', 'interrupted', 'failed')),
    error text,
    parent_id text,
    client_message_id text,
    turn_id uuid,
    revision integer NOT NULL DEFAULT 0,
    rank smallint NOT NULL DEFAULT -1,           -- -1: posted, 0: an interrupted answer, 1: a final one; the greater
                                                 -- (revision, rank) replaces the lesser, whichever comes first
    event_id uuid NOT NULL,                      -- the event whose version this is
    created_at timestamptz NOT NULL,             -- the message's place in its session, with message_id
    stored_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    metadata jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (user_id, session_id, message_id),
    FOREIGN KEY (user_id, session_id) REFERENCES chat.sessions ON DELETE CASCADE
);
CREATE INDEX messages_in_order ON chat.messages (user_id, session_id, created_at DESC, message_id DESC);
CREATE INDEX messages_by_client_id ON chat.messages (user_id, session_id, client_message_id)
    WHERE client_message_id IS NOT NULL;
SELECT tripthread.protect('chat.messages', 'tripthread_logger', 'user_id');

CREATE TABLE chat.traces (
    user_id text COLLATE "C" NOT NULL,
    trace_id text COLLATE "C" NOT NULL,
    session_id text COLLATE "C",
    message_id text,
    turn_id uuid,
    session_tag text,                            -- only of a trace from outside; ours is joined when it is read
    provider text,
    model text NOT NULL,
    status text NOT NULL CHECK (status IN ('running', 'ok', 'error', 'stopped', 'interrupted')),
    started_at timestamptz NOT NULL,
    ttft_ms double precision CHECK (ttft_ms >= 0),
    duration_ms double precision CHECK (duration_ms >= 0),
    input_tokens integer CHECK (input_tokens >= 0),
    output_tokens integer CHECK (output_tokens >= 0),
    usage_source text CHECK (usage_source IN ('reported', 'estimated')),
    finish_reason text,
    error text,
    streaming boolean NOT NULL DEFAULT true,
    attributes jsonb NOT NULL DEFAULT '{}',
    revision integer NOT NULL DEFAULT 0,
    rank smallint NOT NULL DEFAULT 1,
    event_id uuid NOT NULL,
    stored_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (user_id, trace_id)
);
CREATE INDEX traces_by_time ON chat.traces (user_id, started_at DESC, trace_id DESC);
CREATE INDEX traces_of_session ON chat.traces (user_id, session_id, started_at DESC);
SELECT tripthread.protect('chat.traces', 'tripthread_logger', 'user_id');

CREATE TABLE chat.feedback (
    user_id text COLLATE "C" NOT NULL,
    session_id text COLLATE "C" NOT NULL,
    message_id text COLLATE "C" NOT NULL,
    value text NOT NULL CHECK (value IN ('up', 'down')),
    comment text,
    occurred_at timestamptz NOT NULL,
    event_id uuid NOT NULL,
    PRIMARY KEY (user_id, session_id, message_id)
);
SELECT tripthread.protect('chat.feedback', 'tripthread_logger', 'user_id');

CREATE TABLE chat.templates (
    user_id text COLLATE "C" NOT NULL,
    template_id uuid NOT NULL,
    name text NOT NULL,
    template jsonb NOT NULL,
    occurred_at timestamptz NOT NULL,
    event_id uuid NOT NULL,
    deleted_at timestamptz,
    PRIMARY KEY (user_id, template_id)
);
SELECT tripthread.protect('chat.templates', 'tripthread_logger', 'user_id');

CREATE TABLE chat.conversation_reads (
    read_id uuid PRIMARY KEY,
    operator text NOT NULL,                      -- the administrator who read
    user_id text COLLATE "C",
    session_id text COLLATE "C",
    query jsonb NOT NULL DEFAULT '{}',           -- what was asked for
    occurred_at timestamptz NOT NULL
);
CREATE INDEX conversation_reads_by_time ON chat.conversation_reads (occurred_at DESC, read_id DESC);
SELECT tripthread.protect('chat.conversation_reads', 'tripthread_logger', '');

CREATE TABLE chat.dead_letters (
    dead_letter_id uuid PRIMARY KEY,
    queue text NOT NULL,                         -- where it was refused, and where a replay sends it
    dedupe_key text NOT NULL,                    -- the event id, else the body's SHA-256
    event_id uuid,
    event_name text,
    body bytea NOT NULL,
    headers jsonb NOT NULL DEFAULT '{}',
    reason text NOT NULL,                        -- the error's stable code
    error text NOT NULL,
    user_id text COLLATE "C",                    -- as far as the body tells, so that an erasure finds it
    state text NOT NULL DEFAULT 'parked' CHECK (state IN ('parked', 'replayed', 'dropped')),
    decided_by text,
    decided_at timestamptz,
    received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- How many copies came, redelivered ones too. A replay of a letter that has come again since its operator looked
    -- must not hide that.
    arrivals integer NOT NULL DEFAULT 1 CHECK (arrivals > 0),
    UNIQUE (queue, dedupe_key),
    CHECK ((state = 'parked') = (decided_by IS NULL))
);
CREATE INDEX dead_letters_by_time ON chat.dead_letters (received_at DESC, dead_letter_id DESC);
SELECT tripthread.protect('chat.dead_letters', 'tripthread_logger', '');

CREATE TABLE chat.erased_users (
    user_hash bytea PRIMARY KEY,
    erased_at timestamptz NOT NULL
);
SELECT tripthread.protect('chat.erased_users', 'tripthread_logger', '');
