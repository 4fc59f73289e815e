CREATE TABLE t (
  id INT NOT NULL PRIMARY KEY, w INT NOT NULL DEFAULT 0, e ENUM('a','b,c','d''e','','ü','x y') CHARACTER SET latin1 DEFAULT 'd''e', f ENUM('ю','Я') CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  s SET('a','b','c d','ü') CHARACTER SET latin1 NOT NULL DEFAULT 'a,b', s64 SET('m1','m2','m3','m4','m5','m6','m7','m8','m9','m10','m11','m12','m13','m14','m15','m16','m17','m18','m19','m20','m21','m22','m23','m24','m25','m26','m27','m28','m29','m30','m31','m32','m33','m34','m35','m36','m37','m38','m39','m40','m41','m42','m43','m44','m45','m46','m47','m48','m49','m50','m51','m52','m53','m54','m55','m56','m57','m58','m59','m60','m61','m62','m63','m64'), KEY (e), KEY (s)
) ENGINE=InnoDB;

SET sql_mode = '';

INSERT INTO t WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 400) SELECT n, 0, n % 7, 1 + n % 2, n % 16, IF(n % 5, n * 20000000000000001, 18446744073709551615) FROM s;
