CREATE TABLE t (id INT NOT NULL PRIMARY KEY, w INT NOT NULL DEFAULT 0,
  c0 VARCHAR(40) CHARACTER SET utf8mb4 COLLATE uca1400_ai_ci,
  c1 TEXT CHARACTER SET utf8mb4 COLLATE uca1400_as_cs,
  c2 CHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_uca1400_nopad_ai_ci,
  c3 VARCHAR(40) CHARACTER SET latin1 COLLATE latin1_nopad_bin) ENGINE=InnoDB;

INSERT INTO t WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 400) SELECT n, 0,
  IF(n % 7 = 0, NULL, CONCAT('é ', IF(n % 3, n, '  '))),
  IF(n % 7 = 1, NULL, CONCAT('é', IF(n % 3, n, '  '))),
  IF(n % 7 = 2, NULL, CONCAT('日本', IF(n % 3, n, '  '))),
  IF(n % 7 = 3, NULL, CONCAT('é ', IF(n % 3, n, '  '))) FROM s;
