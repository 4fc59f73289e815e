CREATE TABLE t (id int PRIMARY KEY, k int);
INSERT INTO t SELECT i, i FROM generate_series(1, 300) i;
CREATE MATERIALIZED VIEW frozen AS SELECT count(*) FROM t;
CREATE FUNCTION of_row(t) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE TABLE holder (id int, whole t);
CREATE TABLE heir (extra int) INHERITS (t);
