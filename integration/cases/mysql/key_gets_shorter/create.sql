CREATE TABLE t (id INT NOT NULL, region INT NOT NULL, a INT, PRIMARY KEY (id, region), KEY by_a (a)) ENGINE=InnoDB;

INSERT INTO t (id, region, a) WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 400) SELECT n, n % 5, n FROM s;
