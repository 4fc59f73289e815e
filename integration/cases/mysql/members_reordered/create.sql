CREATE TABLE t (id INT NOT NULL PRIMARY KEY, e ENUM('s', 'm', 'l') NOT NULL, f SET('x', 'y', 'z')) ENGINE=InnoDB;

INSERT INTO t (id, e, f) WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 400) SELECT n, 1 + n % 3, n % 8 FROM s;
