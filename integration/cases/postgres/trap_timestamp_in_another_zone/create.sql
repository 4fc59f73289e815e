CREATE TABLE t (id serial PRIMARY KEY, at timestamp NOT NULL, a integer NOT NULL DEFAULT 0);
INSERT INTO t (at) SELECT '2024-03-30 22:30:00.123456'::timestamp + n * interval '1 minute' FROM generate_series(1, 800) n;
