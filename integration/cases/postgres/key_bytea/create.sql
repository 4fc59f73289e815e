CREATE TABLE t (k bytea, v int NOT NULL, w text, PRIMARY KEY (k));
INSERT INTO t SELECT decode(md5(g::text), 'hex') || '\x00', g, 'row ' || g FROM generate_series(1, 1500) AS g;
