CREATE TABLE t (id integer PRIMARY KEY, b integer, c text);
INSERT INTO t SELECT n, nullif(n, 700), 'c' FROM generate_series(1, 800) n;
