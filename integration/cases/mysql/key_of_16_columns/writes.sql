UPDATE t SET v = CONCAT('u', FLOOR(RAND() * 99999)) ORDER BY w LIMIT 3;

DELETE FROM t WHERE w = (SELECT n FROM (SELECT 1 + FLOOR(RAND() * 400) AS n) x);

INSERT INTO t (k1, k2, k3, k4, k5, k6, k7, k8, k9, k10, k11, k12, k13, k14, k15, k16, v, w) SELECT n % 2, n % 3, CONCAT('k', n % 2), '2024-01-01', n % 2 / 8, x'0100', n % 2, 'c', n % 3, 1, CONCAT('x', n % 5), '2024-01-01' + INTERVAL n % 4 DAY, 0.125, UNHEX(LPAD(HEX(n % 7), 4, '0')), n, 'e', 'i', n FROM (SELECT 1 + FLOOR(RAND() * 600) AS n) x;
