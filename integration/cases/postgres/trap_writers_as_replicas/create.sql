CREATE TABLE t (id integer PRIMARY KEY, a integer NOT NULL DEFAULT 0);
INSERT INTO t SELECT n FROM generate_series(1, 800) n;
