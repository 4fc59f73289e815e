CREATE TABLE `таблица_表` (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, `se``lect` INT NOT NULL, `größe 'x'` VARCHAR(20) NOT NULL DEFAULT 'x', KEY `k``ey` (`se``lect`));
INSERT INTO `таблица_表` (`se``lect`) WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 800) SELECT n FROM n;
