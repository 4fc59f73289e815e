CREATE TABLE t (k int NOT NULL, v int NOT NULL, w text, UNIQUE (k));
INSERT INTO t SELECT g, g, 'row ' || g FROM generate_series(1, 1500) AS g;
