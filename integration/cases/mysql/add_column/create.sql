CREATE TABLE t (
  id INT NOT NULL AUTO_INCREMENT,
  a INT NOT NULL,
  b VARCHAR(40) NULL,
  c DECIMAL(10,2) NOT NULL DEFAULT 1.50 COMMENT 'what it costs',
  f FLOAT NULL,
  d DOUBLE NULL,
  e ENUM('small', 'medium', 'large') NOT NULL DEFAULT 'small',
  changed TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  PRIMARY KEY (id),
  KEY by_a (a),
  KEY by_b (b(10), a)
) ENGINE=InnoDB;

INSERT INTO t (a, b, c, f, d, e)
WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 900)
SELECT n % 50, CASE WHEN n % 11 = 0 THEN NULL ELSE CONCAT('word ', n, ' é ') END, n / 7, n / 3, n / 9, 1 + n % 3 FROM n;
