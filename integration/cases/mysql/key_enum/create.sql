CREATE TABLE t (k ENUM('b','a','','d''e','c,f') NOT NULL, l INT NOT NULL, v VARCHAR(40), w INT, PRIMARY KEY (k, l)) ENGINE=InnoDB;

INSERT INTO t (k, l, v, w) WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 400) SELECT 1 + n % 5, n, CONCAT('v', n), n FROM s;
