-- The OIDs of a function that is made anew, of an index and of the row type, where the swap cannot change them.
CREATE TABLE t (id int PRIMARY KEY, v text, n int, y regtype);
INSERT INTO t SELECT i, 'v' || i, i % 7 FROM generate_series(1, 500) AS i;
CREATE FUNCTION f(t) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE TABLE reg (p regprocedure PRIMARY KEY);
INSERT INTO reg VALUES ('f(t)');
CREATE TABLE other (id int PRIMARY KEY, i regclass DEFAULT 't_pkey'::regclass);
ALTER TABLE t ALTER COLUMN y SET DEFAULT 't'::regtype;
