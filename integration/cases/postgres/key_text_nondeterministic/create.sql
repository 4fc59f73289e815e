CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE t (k text COLLATE ci, v int NOT NULL, w text, PRIMARY KEY (k));
INSERT INTO t SELECT 'Key' || g, g, 'row ' || g FROM generate_series(1, 1500) AS g;
