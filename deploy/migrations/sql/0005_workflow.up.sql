-- workflow: the trips that conversations are about. Written by the workflow.
-- Avinode's ids name Avinode's things; a trip is ours, because it exists before Avinode knows it.
CREATE SCHEMA workflow;
GRANT USAGE ON SCHEMA workflow TO tripthread_workflow, tripthread_reader, tripthread_admin;

CREATE TABLE workflow.trips (
    trip_id uuid PRIMARY KEY,
    avinode_trip_id text UNIQUE,                 -- `atrip-...`
    trip_code text UNIQUE,                       -- the six characters people see, and webhooks carry
    avinode_rfp_id text,                         -- set by a client; Avinode knows no such id
    deep_link text,
    route jsonb NOT NULL DEFAULT '[]',           -- [{from, to, date, time}]
    pax integer CHECK (pax > 0),
    canceled boolean NOT NULL DEFAULT false,
    primary_quote_id text,
    workflow_state jsonb NOT NULL DEFAULT '{}',
    metadata jsonb NOT NULL DEFAULT '{}',
    proposal_sent_at timestamptz,
    closed_at timestamptz,
    outcome text CHECK (outcome IN ('completed', 'cancelled')),
    -- The step and counts follow from the facts (services/workflow/steps.py) and are kept for reading.
    step text NOT NULL DEFAULT 'understanding_request' CHECK (step IN ('understanding_request', 'searching_aircraft',
        'requesting_quotes', 'analyzing_options', 'proposal_ready')),
    operators_contacted_count integer NOT NULL DEFAULT 0,
    quotes_expected_count integer NOT NULL DEFAULT 0,
    quotes_received_count integer NOT NULL DEFAULT 0,
    last_activity_at timestamptz NOT NULL DEFAULT clock_timestamp(),  -- at Avinode
    last_checked_at timestamptz,                 -- when Avinode was last read
    due_at timestamptz NOT NULL DEFAULT clock_timestamp(),            -- when it is to be read again
    error text,                                  -- why the last reading or creation at Avinode failed; null: it did not
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK (quotes_received_count BETWEEN 0 AND quotes_expected_count),
    CHECK (quotes_expected_count <= operators_contacted_count),
    CHECK ((closed_at IS NULL) = (outcome IS NULL))
);
-- A trip that was attached by its code has no id until it is read.
CREATE INDEX trips_due ON workflow.trips (due_at)
    WHERE closed_at IS NULL AND (avinode_trip_id IS NOT NULL OR trip_code IS NOT NULL);

-- Which conversations are about which trip: the only way by which a user sees one.
CREATE TABLE workflow.trip_sessions (
    user_id text COLLATE "C" NOT NULL,
    session_id text COLLATE "C" NOT NULL,
    trip_id uuid NOT NULL REFERENCES workflow.trips ON DELETE CASCADE,
    request_id uuid,
    open boolean NOT NULL DEFAULT true,
    last_message_at timestamptz,                 -- chat activity, for `paused`
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at timestamptz,
    deleted_at timestamptz,
    PRIMARY KEY (user_id, session_id, trip_id),
    CHECK (open = (ended_at IS NULL))
);
CREATE UNIQUE INDEX trip_sessions_one_open ON workflow.trip_sessions (user_id, session_id) WHERE open;
-- A user's trips are listed from the newest on.
CREATE INDEX trip_sessions_by_start ON workflow.trip_sessions (user_id, started_at DESC, trip_id DESC, session_id DESC)
    WHERE deleted_at IS NULL;
CREATE INDEX trip_sessions_of_trip ON workflow.trip_sessions (trip_id);
SELECT tripthread.protect('workflow.trip_sessions', 'tripthread_workflow', 'user_id');

-- A row that belongs to a trip is visible to whoever sees the trip. The subquery runs under trip_sessions' own policy.
CREATE FUNCTION workflow.protect_trip(target regclass) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    PERFORM tripthread.protect(target, 'tripthread_workflow', '');
    EXECUTE format('ALTER POLICY reader ON %s USING (trip_id IN (SELECT t.trip_id FROM workflow.trip_sessions t
        WHERE t.user_id = ANY (tripthread.user_ids()) AND t.deleted_at IS NULL))', target);
END
$$;
SELECT workflow.protect_trip('workflow.trips');

-- The intent row of a trip to be created at Avinode: committed before the call, so that there is at most one trip a request.
CREATE TABLE workflow.requests (
    request_id uuid PRIMARY KEY,
    trip_id uuid NOT NULL REFERENCES workflow.trips ON DELETE CASCADE,
    user_id text COLLATE "C" NOT NULL,
    session_id text COLLATE "C" NOT NULL,
    segments jsonb NOT NULL,
    pax integer NOT NULL CHECK (pax > 0),
    criteria jsonb NOT NULL DEFAULT '{}',
    -- intended -> sending -> created, refused or unconfirmed (nobody can tell whether Avinode acted on it);
    -- back to intended only where it surely was not sent, and from unconfirmed to created where the trip turns up.
    state text NOT NULL DEFAULT 'intended'
        CHECK (state IN ('intended', 'sending', 'created', 'refused', 'unconfirmed')),
    attempts integer NOT NULL DEFAULT 0,
    error text,
    due_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    event_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX requests_due ON workflow.requests (due_at) WHERE state IN ('intended', 'sending');
CREATE INDEX requests_unconfirmed ON workflow.requests (request_id) WHERE state = 'unconfirmed';
CREATE INDEX requests_of_trip ON workflow.requests (trip_id);
SELECT workflow.protect_trip('workflow.requests');

CREATE TABLE workflow.rfqs (
    rfq_id text PRIMARY KEY,                     -- `arfq-...`
    trip_id uuid NOT NULL REFERENCES workflow.trips ON DELETE CASCADE,
    operator_id text,
    operator_name text,
    canceled boolean NOT NULL DEFAULT false,
    declined boolean NOT NULL DEFAULT false,     -- by the operator, whole; follows from lifts and messages (steps.py)
    decline_reason text,
    fetched_at timestamptz NOT NULL,             -- when the newest fetch began; an older one changes nothing
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX rfqs_of_trip ON workflow.rfqs (trip_id);
SELECT workflow.protect_trip('workflow.rfqs');

CREATE TABLE workflow.lifts (
    lift_id text PRIMARY KEY,                    -- `asellerlift-...`
    rfq_id text NOT NULL REFERENCES workflow.rfqs ON DELETE CASCADE,
    trip_id uuid NOT NULL REFERENCES workflow.trips ON DELETE CASCADE,
    aircraft_type text,
    aircraft_category text,
    aircraft_tail text,
    sourcing_status integer,
    sourcing_display_status text,
    fetched_at timestamptz NOT NULL
);
CREATE INDEX lifts_of_rfq ON workflow.lifts (rfq_id);
CREATE INDEX lifts_of_trip ON workflow.lifts (trip_id);
SELECT workflow.protect_trip('workflow.lifts');

CREATE TABLE workflow.quotes (
    quote_id text PRIMARY KEY,                   -- `aquote-...`
    rfq_id text NOT NULL REFERENCES workflow.rfqs ON DELETE CASCADE,
    trip_id uuid NOT NULL REFERENCES workflow.trips ON DELETE CASCADE,
    lift_id text,
    estimate boolean NOT NULL,                   -- Avinode's own, not the seller's: never counted
    price_cents bigint,
    currency text CHECK (currency ~ '^[A-Z]{3}$'),
    message text,
    current boolean NOT NULL DEFAULT true,       -- false: a later quote for the same lift replaced it
    quoted_at timestamptz,
    fetched_at timestamptz NOT NULL,
    revision integer NOT NULL DEFAULT 1,         -- grows when the price of this very quote changes
    seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),  -- when this revision was stored: its place in the chat
    -- The row is pending until the chat was told of this revision; an estimate is never told.
    told_at timestamptz,
    CHECK ((price_cents IS NULL) = (currency IS NULL))
);
CREATE INDEX quotes_of_rfq ON workflow.quotes (rfq_id);
CREATE INDEX quotes_of_trip ON workflow.quotes (trip_id);
CREATE INDEX quotes_untold ON workflow.quotes (seen_at) WHERE told_at IS NULL AND NOT estimate AND current;
SELECT workflow.protect_trip('workflow.quotes');

CREATE TABLE workflow.trip_messages (
    avinode_message_id text PRIMARY KEY,         -- `asellermsg-...` or `abuyermsg-...`
    trip_id uuid NOT NULL REFERENCES workflow.trips ON DELETE CASCADE,
    rfq_id text,
    kind text NOT NULL CHECK (kind IN ('quote', 'decline', 'chat')),
    sender text,
    content text,
    reason text,                                 -- of a decline
    quote_id text,
    lift_ids text[] NOT NULL DEFAULT '{}',       -- the lifts it speaks of; none: the whole RFQ
    sent_at timestamptz,
    fetched_at timestamptz NOT NULL
);
CREATE INDEX trip_messages_of_trip ON workflow.trip_messages (trip_id, sent_at);
SELECT workflow.protect_trip('workflow.trip_messages');

CREATE TABLE workflow.proposals (
    proposal_id uuid PRIMARY KEY,
    trip_id uuid NOT NULL REFERENCES workflow.trips ON DELETE CASCADE,
    quote_ids text[] NOT NULL,
    margin_percent numeric(6, 3),
    note text,
    content jsonb NOT NULL DEFAULT '{}',
    prepared_at timestamptz NOT NULL,
    sent_at timestamptz,
    event_id uuid NOT NULL
);
CREATE INDEX proposals_of_trip ON workflow.proposals (trip_id, prepared_at DESC);
SELECT workflow.protect_trip('workflow.proposals');

-- Every notice as it came. A pointer, not data: what it points at is `href`, worked by fetching that.
CREATE TABLE workflow.deliveries (
    delivery_id uuid PRIMARY KEY,
    source text NOT NULL,
    event_name text,
    headers jsonb NOT NULL DEFAULT '{}',
    payload bytea NOT NULL,
    href text,
    kind text,                                   -- the REST collection: rfqs, tripmsgs, ...
    avinode_id text,
    trip_code text,
    state text NOT NULL DEFAULT 'due'
        CHECK (state IN ('due', 'done', 'unmatched', 'refused', 'ignored')),
    error text,
    attempts integer NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    received_at timestamptz NOT NULL,
    worked_at timestamptz,
    event_id uuid NOT NULL
);
CREATE INDEX deliveries_due ON workflow.deliveries (due_at) WHERE state IN ('due', 'unmatched');
CREATE INDEX deliveries_by_time ON workflow.deliveries (received_at DESC, delivery_id DESC);
CREATE INDEX deliveries_of_href ON workflow.deliveries (href) WHERE state IN ('due', 'unmatched');
CREATE INDEX deliveries_of_trip ON workflow.deliveries (trip_code) WHERE state = 'unmatched';
SELECT tripthread.protect('workflow.deliveries', 'tripthread_workflow', '');

CREATE TABLE workflow.erased_users (
    user_hash bytea PRIMARY KEY,
    erased_at timestamptz NOT NULL
);
SELECT tripthread.protect('workflow.erased_users', 'tripthread_workflow', '');
