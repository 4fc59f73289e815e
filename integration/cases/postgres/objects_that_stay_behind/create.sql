CREATE TABLE t (id int PRIMARY KEY, k int);
INSERT INTO t SELECT i, i FROM generate_series(1, 300) i;
CREATE FUNCTION of_row(t) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE VIEW user_of_it AS SELECT of_row(t) FROM t;
CREATE FUNCTION later_row(t, t) RETURNS t LANGUAGE sql AS 'SELECT $2';
CREATE AGGREGATE last_row(t) (SFUNC = later_row, STYPE = t);
CREATE TABLE holder (id int, whole t);
CREATE TABLE heir (extra int) INHERITS (t);
