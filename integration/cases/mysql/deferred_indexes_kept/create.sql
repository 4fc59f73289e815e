CREATE TABLE t (
  id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  a INT NOT NULL,
  b VARCHAR(60) NOT NULL,
  c TEXT,
  d DATETIME(3) NULL,
  g POINT NOT NULL,
  e INT GENERATED ALWAYS AS (a * 2) VIRTUAL,
  s INT GENERATED ALWAYS AS (a + 1) STORED,
  UNIQUE KEY u (b, a),
  KEY z_first (b) COMMENT 'it''s, the first',
  KEY a_second (a, d),
  SPATIAL KEY place (g),
  KEY prefix (c(20), b(5)),
  KEY virtual_one (e),
  KEY stored_one (s, id),
  KEY `odd``name, ADD` (d)
);

INSERT INTO t (a, b, c, d, g)
SELECT n, CONCAT('b', n), REPEAT('c', n % 90), '2024-01-01' + INTERVAL n HOUR, POINT(n, n % 7)
FROM (SELECT x.n + 30 * y.n AS n FROM
  (WITH RECURSIVE d(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM d WHERE n < 29) SELECT n FROM d) x,
  (WITH RECURSIVE d(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM d WHERE n < 29) SELECT n FROM d) y) numbers;
