CREATE TABLE t (id INT NOT NULL PRIMARY KEY, w INT NOT NULL DEFAULT 0,
  c0 VARCHAR(40) CHARACTER SET gb18030 COLLATE gb18030_chinese_ci,
  c1 VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_ai_ci,
  c2 TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_as_cs,
  c3 CHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_ja_0900_as_cs_ks,
  c4 VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin) ENGINE=InnoDB;

INSERT INTO t WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 400) SELECT n, 0,
  IF(n % 7 = 0, NULL, CONCAT('中文😀', IF(n % 3, n, '  '))),
  IF(n % 7 = 1, NULL, CONCAT('é ', IF(n % 3, n, '  '))),
  IF(n % 7 = 2, NULL, CONCAT('é', IF(n % 3, n, '  '))),
  IF(n % 7 = 3, NULL, CONCAT('日本', IF(n % 3, n, '  '))),
  IF(n % 7 = 4, NULL, CONCAT('é ', IF(n % 3, n, '  '))) FROM s;
