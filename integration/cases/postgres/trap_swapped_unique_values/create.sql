CREATE TABLE t (id integer PRIMARY KEY, u integer UNIQUE, name text NOT NULL UNIQUE);
INSERT INTO t SELECT n, n, 'n' || n FROM generate_series(1, 800) n;
