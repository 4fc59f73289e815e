CREATE TABLE t (id serial PRIMARY KEY, v text);
INSERT INTO t (v) SELECT 'v' || i FROM generate_series(1, 600) i;
