-- A column of a dropped view's row type in another table.
CREATE TABLE t (id int PRIMARY KEY, v text, n int);
INSERT INTO t SELECT i, 'v' || i, i % 7 FROM generate_series(1, 500) AS i;
CREATE VIEW vv AS SELECT id, v FROM t;
CREATE TABLE holder (h vv);
