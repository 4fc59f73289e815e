CREATE TABLE t (k int, v int NOT NULL, w text, PRIMARY KEY (k));
INSERT INTO t SELECT g, g, 'row ' || g FROM generate_series(1, 1500) AS g;
