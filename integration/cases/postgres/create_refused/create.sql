CREATE TABLE t (k int PRIMARY KEY, note text, lost text);
INSERT INTO t SELECT n, 'x', 'y' FROM generate_series(1, 50) n;
