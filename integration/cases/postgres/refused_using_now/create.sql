CREATE TABLE t (id int PRIMARY KEY, n int, v text);
INSERT INTO t SELECT i, i, 'v' || i FROM generate_series(1, 200) i;
