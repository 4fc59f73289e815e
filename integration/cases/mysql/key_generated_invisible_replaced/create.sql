SET sql_generate_invisible_primary_key = 1;

CREATE TABLE t (a INT NOT NULL, b INT) ENGINE=InnoDB;

INSERT INTO t (a, b) WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 400) SELECT n, n FROM s;
