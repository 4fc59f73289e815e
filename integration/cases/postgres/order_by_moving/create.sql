CREATE TABLE t (k int PRIMARY KEY, at timestamptz NOT NULL DEFAULT clock_timestamp(), n int NOT NULL, note text);
CREATE INDEX t_at ON t (at);
INSERT INTO t SELECT n, clock_timestamp() - n * interval '1 second', n, 'note ' || n FROM generate_series(1, 1200) n;
