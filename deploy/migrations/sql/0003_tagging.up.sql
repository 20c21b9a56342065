-- tagging: one tag a session, counted per user and model. Written by the tagger.
CREATE SCHEMA tagging;
GRANT USAGE ON SCHEMA tagging TO tripthread_tagger, tripthread_reader, tripthread_admin;

CREATE TABLE tagging.models (
    model_id uuid PRIMARY KEY,                   -- uuid5(provider, name)
    provider text NOT NULL,
    name text NOT NULL,
    short_id text NOT NULL UNIQUE CHECK (short_id ~ '^[0-9a-f]{6,32}$'),  -- the id's first 6 hex digits or, if taken, more
    tracked boolean NOT NULL DEFAULT true,
    registered_at timestamptz NOT NULL,
    stamped_at timestamptz NOT NULL,             -- occurred_at and id of the event that wrote `tracked` last
    stamped_by uuid NOT NULL,
    UNIQUE (provider, name)
);
CREATE INDEX models_by_time ON tagging.models (registered_at DESC, model_id DESC);
SELECT tripthread.protect('tagging.models', 'tripthread_tagger', NULL);

CREATE TABLE tagging.counters (
    user_id text COLLATE "C" NOT NULL,
    model_id uuid NOT NULL REFERENCES tagging.models,
    last_number integer NOT NULL DEFAULT 0 CHECK (last_number >= 0),
    PRIMARY KEY (user_id, model_id)
);
SELECT tripthread.protect('tagging.counters', 'tripthread_tagger', 'user_id');

CREATE TABLE tagging.session_tags (
    user_id text COLLATE "C" NOT NULL,
    session_id text COLLATE "C" NOT NULL,
    model_id uuid REFERENCES tagging.models,     -- none: only the tombstone of a session that never had a tag
    number integer CHECK (number > 0),           -- `counter` in the API; set before the inserting transaction ends
    session_tag text COLLATE "C",
    experiment_name text,
    tagged_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    event_id uuid NOT NULL,                      -- the event that brought the tag
    deleted_at timestamptz,                      -- the session is gone; its number stays taken
    PRIMARY KEY (user_id, session_id),
    UNIQUE (user_id, model_id, number)
);
CREATE INDEX session_tags_by_tag ON tagging.session_tags (user_id, session_tag);
SELECT tripthread.protect('tagging.session_tags', 'tripthread_tagger', 'user_id');

CREATE TABLE tagging.erased_users (
    user_hash bytea PRIMARY KEY,
    erased_at timestamptz NOT NULL
);
SELECT tripthread.protect('tagging.erased_users', 'tripthread_tagger', '');
