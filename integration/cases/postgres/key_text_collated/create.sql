CREATE TABLE t (k text COLLATE "C", v int NOT NULL, w text, PRIMARY KEY (k));
INSERT INTO t SELECT 'c' || g || 'é', g, 'row ' || g FROM generate_series(1, 1500) AS g;
