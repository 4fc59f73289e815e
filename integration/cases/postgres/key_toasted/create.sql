-- The keys are stored out of line: the log does not send them again with a row whose key stays.
CREATE TABLE t (k text, v int NOT NULL, w text, PRIMARY KEY (k));
ALTER TABLE t ALTER COLUMN k SET STORAGE EXTERNAL;
INSERT INTO t SELECT (SELECT string_agg(md5(g::text || i), '') FROM generate_series(1, 65) AS i), g, 'row ' || g FROM generate_series(1, 600) AS g;
