CREATE TABLE t (k SET('a','b','c','d','e','f','g','h','i','j') NOT NULL, v VARCHAR(40), w INT, PRIMARY KEY (k)) ENGINE=InnoDB;

INSERT INTO t (k, v, w) WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 400) SELECT n, CONCAT('v', n), n FROM s;
