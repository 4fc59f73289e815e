CREATE TABLE t (k char(12), v int NOT NULL, w text, PRIMARY KEY (k));
INSERT INTO t SELECT 'c' || g, g, 'row ' || g FROM generate_series(1, 1500) AS g;
