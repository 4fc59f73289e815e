CREATE TABLE t (k interval, v int NOT NULL, w text, PRIMARY KEY (k));
INSERT INTO t SELECT g * interval '1 hour', g, 'row ' || g FROM generate_series(1, 1500) AS g;
