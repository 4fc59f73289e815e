CREATE TABLE t (id int PRIMARY KEY, k int, v text);
INSERT INTO t SELECT i, i % 10, 'v' || i FROM generate_series(1, 1200) i;
CREATE VIEW arms AS SELECT * FROM (SELECT id, k, 'it''s,
 NULL::integer,
odd' AS what FROM t UNION ALL SELECT id, NULL, 'even' FROM t) q;
CREATE VIEW computed AS SELECT n FROM (SELECT id::bigint AS n, -1 AS m FROM t UNION SELECT k + 1, -2 FROM t) q WHERE m IN (SELECT -1 UNION SELECT -2);
CREATE VIEW collated AS SELECT * FROM (SELECT v AS w FROM t UNION ALL SELECT 'x' COLLATE "C" FROM t) q;
CREATE MATERIALIZED VIEW kept AS SELECT * FROM (SELECT id, k FROM t UNION ALL SELECT -1, NULL FROM t) q;
CREATE TABLE log (id int, k int);
CREATE RULE noted AS ON DELETE TO log DO ALSO INSERT INTO t SELECT * FROM (SELECT old.id + 100000 AS id, old.k AS k, 'a' AS v UNION ALL SELECT -old.id, NULL, 'b') q;
CREATE FUNCTION rows_of_t() RETURNS SETOF t LANGUAGE sql AS 'SELECT * FROM (SELECT * FROM t UNION ALL SELECT NULL::integer,
    NULL::integer,
    NULL::text) q WHERE v = ALL ((ARRAY[''a''::character varying])::text[])';
CREATE FUNCTION arms_of_t() RETURNS SETOF t LANGUAGE sql BEGIN ATOMIC SELECT * FROM (SELECT * FROM t UNION ALL SELECT -1, NULL, 'x') q; END;
