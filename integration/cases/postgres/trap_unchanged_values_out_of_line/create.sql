CREATE TABLE t (id integer PRIMARY KEY, big text NOT NULL, plain text NOT NULL, a integer NOT NULL DEFAULT 0);
ALTER TABLE t ALTER big SET STORAGE EXTERNAL;
INSERT INTO t SELECT n, repeat(md5(n::text), 200), repeat(md5(n::text), 200) FROM generate_series(1, 400) n;
