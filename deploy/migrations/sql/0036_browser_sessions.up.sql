-- What a one-time login link opens: a browser that is signed in, by a cookie of which only the hash is kept.
CREATE TABLE gateway.browser_sessions (
    browser_session_id uuid PRIMARY KEY,
    token_hash bytea NOT NULL UNIQUE,
    user_id text COLLATE "C" NOT NULL,
    role text NOT NULL CHECK (role IN ('user', 'service', 'admin')),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL                   -- it is renewed by use
);
CREATE INDEX browser_sessions_of_user ON gateway.browser_sessions (user_id);
CREATE INDEX browser_sessions_by_end ON gateway.browser_sessions (expires_at);
CREATE INDEX login_links_by_end ON gateway.login_links (expires_at);
SELECT tripthread.protect('gateway.browser_sessions', 'tripthread_gateway', 'user_id');
