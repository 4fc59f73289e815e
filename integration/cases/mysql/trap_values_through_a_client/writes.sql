INSERT INTO t (f, d, n, j, s, e, bits, bin, bl, tx, u2, l2, ts, y, tm) VALUES (RAND() * 1e10, RAND() / 3, RAND() * 1e12, JSON_OBJECT('p', 1.10, 'x', RAND()), RAND() * 7, 1 + FLOOR(RAND() * 3), RAND() * 511, UNHEX('FF00'), '', CONCAT('a', CHAR(0), ' '), 'žluť', 'kůň', NOW(6), 2024, '00:00:01.001');

UPDATE t SET f = f + 1, d = d / 3, bits = bits ^ 1, bl = '', tx = CONCAT(tx, ' ') WHERE id = 1 + FLOOR(RAND() * 800);

UPDATE t SET j = JSON_SET(j, '$.n', 2.50), s = 'a,c', e = 'three' WHERE id = 1 + FLOOR(RAND() * 800);
