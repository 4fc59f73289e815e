CREATE TABLE t (k int PRIMARY KEY, a int);
CREATE INDEX by_a ON t (a);
INSERT INTO t SELECT n, n FROM generate_series(1, 50) n;
