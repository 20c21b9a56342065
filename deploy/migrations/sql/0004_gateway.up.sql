-- gateway: running turns, and who may call. Written by the gateway.
CREATE SCHEMA gateway;
GRANT USAGE ON SCHEMA gateway TO tripthread_gateway, tripthread_reader, tripthread_admin;

-- The lock, the question and, until it is stored, the answer: everything that the turn's two events will say, so that
-- whoever publishes them publishes the same bytes.
CREATE TABLE gateway.turns (
    turn_id uuid PRIMARY KEY,
    user_id text COLLATE "C" NOT NULL,
    session_id text COLLATE "C" NOT NULL,
    idempotency_key text,
    body_hash bytea NOT NULL,                    -- of what makes two requests the same
    owner text NOT NULL,                         -- internal address of the gateway that runs it
    attempt integer NOT NULL DEFAULT 1 CHECK (attempt > 0),
    state text NOT NULL CHECK (state IN ('running', 'complete', 'stopped', 'interrupted', 'failed')),
    lease_until timestamptz NOT NULL,            -- the database's clock; past it the owner is taken for dead
    correlation_id uuid NOT NULL,
    traceparent text,
    model text NOT NULL,
    provider text NOT NULL,
    project_id text,
    helper text,
    question jsonb NOT NULL,                     -- {message_id, content, parts, parent_id, client_message_id, metadata}
    asked_at timestamptz NOT NULL,               -- created_at of the question
    question_published boolean NOT NULL DEFAULT false,
    partial text NOT NULL DEFAULT '',            -- checkpoint of a running answer
    answer jsonb,                                -- {content, parts, revision, status, error, trace}
    answered_at timestamptz,                     -- created_at of the answer
    answer_published boolean NOT NULL DEFAULT false,
    CHECK ((state = 'running') = (answer IS NULL)),
    CHECK ((answer IS NULL) = (answered_at IS NULL))
);
CREATE UNIQUE INDEX turns_one_running ON gateway.turns (user_id, session_id) WHERE state = 'running';
CREATE UNIQUE INDEX turns_by_key ON gateway.turns (user_id, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX turns_of_session ON gateway.turns (user_id, session_id, asked_at DESC);
CREATE INDEX turns_by_time ON gateway.turns (user_id, asked_at DESC);
CREATE INDEX turns_running ON gateway.turns (lease_until) WHERE state = 'running';
CREATE INDEX turns_unpublished ON gateway.turns (asked_at)
    WHERE NOT question_published OR (answer IS NOT NULL AND NOT answer_published);
SELECT tripthread.protect('gateway.turns', 'tripthread_gateway', 'user_id');

CREATE TABLE gateway.usage (
    user_id text COLLATE "C" NOT NULL,
    day date NOT NULL,
    turns integer NOT NULL DEFAULT 0 CHECK (turns >= 0),
    input_tokens bigint NOT NULL DEFAULT 0 CHECK (input_tokens >= 0),
    output_tokens bigint NOT NULL DEFAULT 0 CHECK (output_tokens >= 0),
    PRIMARY KEY (user_id, day)
);
SELECT tripthread.protect('gateway.usage', 'tripthread_gateway', 'user_id');

CREATE TABLE gateway.users (
    user_id text COLLATE "C" PRIMARY KEY,
    turns_per_day integer CHECK (turns_per_day >= 0),  -- none: the default
    first_seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    erased_at timestamptz
);
SELECT tripthread.protect('gateway.users', 'tripthread_gateway', 'user_id');

CREATE TABLE gateway.api_keys (
    key_id uuid PRIMARY KEY,
    key_hash bytea NOT NULL UNIQUE,
    user_id text COLLATE "C" NOT NULL,
    name text NOT NULL,
    role text NOT NULL CHECK (role IN ('user', 'service', 'admin')),
    projects text[] NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_used_at timestamptz,
    revoked_at timestamptz
);
CREATE INDEX api_keys_of_user ON gateway.api_keys (user_id, created_at DESC);
SELECT tripthread.protect('gateway.api_keys', 'tripthread_gateway', 'user_id');

CREATE TABLE gateway.login_links (
    token_hash bytea PRIMARY KEY,
    user_id text COLLATE "C" NOT NULL,
    role text NOT NULL CHECK (role IN ('user', 'service', 'admin')),
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);
SELECT tripthread.protect('gateway.login_links', 'tripthread_gateway', '');

CREATE TABLE gateway.shares (
    share_id uuid PRIMARY KEY,
    token_hash bytea NOT NULL UNIQUE,
    user_id text COLLATE "C" NOT NULL,
    session_id text COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz,
    revoked_at timestamptz
);
CREATE INDEX shares_of_session ON gateway.shares (user_id, session_id, created_at DESC);
SELECT tripthread.protect('gateway.shares', 'tripthread_gateway', 'user_id');
