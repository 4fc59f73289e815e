CREATE TABLE t (id INT NOT NULL PRIMARY KEY, w INT NOT NULL DEFAULT 0, p POINT NOT NULL SRID 4326, q GEOMETRY NOT NULL SRID 0, a GEOMETRY, SPATIAL KEY by_p (p)) ENGINE=InnoDB;

INSERT INTO t WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 400) SELECT n, 0, ST_GeomFromText(CONCAT('POINT(', n % 90, ' ', n % 80, ')'), 4326), ST_GeomFromText(CONCAT('POINT(', n % 90, ' ', n % 80, ')'), 0), IF(n % 3, ST_GeomFromText(CONCAT('POINT(', n % 90, ' ', n % 80, ')'), 4326), ST_GeomFromText(CONCAT('POINT(', n % 90, ' ', n % 80, ')'), 3857)) FROM s;
