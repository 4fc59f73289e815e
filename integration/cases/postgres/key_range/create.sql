CREATE TABLE t (k int4range, v int NOT NULL, w text, PRIMARY KEY (k));
INSERT INTO t SELECT int4range(g, g + 5), g, 'row ' || g FROM generate_series(1, 1500) AS g;
