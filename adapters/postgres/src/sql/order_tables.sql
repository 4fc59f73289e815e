CREATE TABLE IF NOT EXISTS altergeist.orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id text NOT NULL,
    word text NOT NULL,
    given_by text NOT NULL DEFAULT SESSION_USER,
    given_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz DEFAULT now() + interval '10 minutes',
    taken_at timestamptz,
    outcome text,
    answer text
);
CREATE INDEX IF NOT EXISTS orders_run_id ON altergeist.orders (run_id);
CREATE TABLE IF NOT EXISTS altergeist.history (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    run_id text NOT NULL,
    table_name text NOT NULL,
    phase text NOT NULL,
    percent double precision NOT NULL,
    rows_copied bigint NOT NULL,
    rows_verified bigint NOT NULL,
    rows_estimated bigint NOT NULL,
    rows_per_second bigint NOT NULL,
    pending_keys bigint NOT NULL,
    eta_seconds bigint,
    replica_lag_seconds double precision,
    reason text
);
CREATE INDEX IF NOT EXISTS history_at ON altergeist.history (at);
