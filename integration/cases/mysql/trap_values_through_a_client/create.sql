CREATE TABLE t (
  id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, f FLOAT, d DOUBLE, n DECIMAL(30,10), j JSON,
  s SET('a', 'b', 'c'), e ENUM('one', 'two', 'three'), bits BIT(9), bin BINARY(6), bl BLOB, tx TEXT,
  u2 VARCHAR(20) CHARACTER SET ucs2, l2 VARCHAR(20) CHARACTER SET latin2, ts TIMESTAMP(6) NULL, y YEAR, tm TIME(3));
INSERT INTO t (f, d, n, j, s, e, bits, bin, bl, tx, u2, l2, ts, y, tm)
WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 800) SELECT 16777216 + n, 1 / n, 1234567890.0123456789 + n, JSON_OBJECT('p', 1.10, 'n', n, 'd', 0.1e0 + n), n % 8, 1 + n % 3, n % 512,
 UNHEX(LPAD(HEX(n), 6, '0')), CASE n % 3 WHEN 0 THEN '' WHEN 1 THEN UNHEX('00') END, CONCAT('a', CHAR(0), n, ' '), CONCAT('žluť', n), CONCAT('kůň', n), '2024-03-31 01:59:59.999999' + INTERVAL n SECOND, 1901 + n % 200, SEC_TO_TIME(n * 1000) FROM n;
