CREATE TABLE t (k float8, v int NOT NULL, w text, PRIMARY KEY (k));
INSERT INTO t SELECT g / 7.0::float8, g, 'row ' || g FROM generate_series(1, 1500) AS g;
