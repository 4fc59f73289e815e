CREATE TYPE pair AS (a int, b text);
CREATE TABLE t (k pair, v int NOT NULL, w text, PRIMARY KEY (k));
INSERT INTO t SELECT ROW(g, 'x' || g)::pair, g, 'row ' || g FROM generate_series(1, 1500) AS g;
