UPDATE t SET a = a + 1, c = REPEAT('w', RAND() * 80) WHERE id = 1 + FLOOR(RAND() * 900);

INSERT INTO t (a, b, c, d, g) VALUES (FLOOR(RAND() * 100000), CONCAT('n', RAND()), 'new', NOW(3), POINT(1, RAND()));

DELETE FROM t WHERE id = 1 + FLOOR(RAND() * 900);

UPDATE t SET d = d + INTERVAL 1 SECOND, g = POINT(RAND(), 2) WHERE id = 1 + FLOOR(RAND() * 900);
