CREATE TABLE t (k text[], v int NOT NULL, w text, d int NOT NULL DEFAULT 3, PRIMARY KEY (d, k));
INSERT INTO t SELECT ARRAY['a', g::text], g, 'row ' || g FROM generate_series(1, 1500) AS g;
