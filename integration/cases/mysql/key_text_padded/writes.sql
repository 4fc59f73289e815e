UPDATE t SET v = CONCAT('u', FLOOR(RAND() * 99999)) ORDER BY k LIMIT 3;

DELETE FROM t WHERE w = (SELECT n FROM (SELECT 1 + FLOOR(RAND() * 400) AS n) x);

INSERT INTO t (k, v, w) SELECT CONCAT(IF(n % 2, 'Ä', 'z'), n, REPEAT(' ', n % 4)), 'i', n FROM (SELECT 1 + FLOOR(RAND() * 600) AS n) x;
