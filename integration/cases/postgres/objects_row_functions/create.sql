CREATE TABLE t (id int PRIMARY KEY, k int, v text);
INSERT INTO t SELECT i, i, 'v' || i FROM generate_series(1, 900) i;
CREATE FUNCTION first_of_them(up_to int) RETURNS SETOF t LANGUAGE sql STABLE AS 'SELECT * FROM t WHERE id <= up_to';
CREATE FUNCTION shout(t) RETURNS text LANGUAGE sql STABLE AS 'SELECT upper($1.v)';
REVOKE ALL ON FUNCTION shout FROM PUBLIC;
