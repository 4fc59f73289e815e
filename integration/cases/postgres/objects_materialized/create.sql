CREATE TABLE t (id int PRIMARY KEY, k int, v text);
INSERT INTO t SELECT i, i % 10, 'v' || i FROM generate_series(1, 1200) i;
CREATE MATERIALIZED VIEW per_k AS SELECT k, count(*) AS n FROM t GROUP BY k;
CREATE UNIQUE INDEX per_k_k ON per_k (k);
CREATE MATERIALIZED VIEW most AS SELECT max(n) AS n FROM per_k;
CREATE VIEW seen AS SELECT n FROM per_k WHERE k = 3;
COMMENT ON MATERIALIZED VIEW per_k IS 'how many of each';
