UPDATE t SET a = a + 1, b = CONCAT('u', a) WHERE id = 1 + FLOOR(RAND() * 400);

DELETE FROM t WHERE id = 1 + FLOOR(RAND() * 400);

INSERT INTO t (id, a, b) SELECT 1000 + FLOOR(RAND() * 500), 5, 'i';
