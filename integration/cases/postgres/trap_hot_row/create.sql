CREATE TABLE t (id integer PRIMARY KEY, n bigint NOT NULL, pad char(100) NOT NULL DEFAULT 'x');
INSERT INTO t (id, n) SELECT n, 0 FROM generate_series(1, 800) n;
