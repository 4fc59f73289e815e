CREATE TABLE IF NOT EXISTS altergeist.journal (
    "table" text PRIMARY KEY,
    run text,
    alter text,
    stage text,
    holder text,
    updated_at timestamptz NOT NULL,
    record text,
    facts text
);
CREATE TABLE IF NOT EXISTS altergeist.heartbeat (
    "table" text PRIMARY KEY,
    incarnation text NOT NULL,
    beat bigint NOT NULL,
    at timestamptz NOT NULL
) WITH (fillfactor = 50);
