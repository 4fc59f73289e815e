CREATE TABLE t (k uuid, v int NOT NULL, w text, PRIMARY KEY (k));
INSERT INTO t SELECT md5(g::text)::uuid, g, 'row ' || g FROM generate_series(1, 1500) AS g;
