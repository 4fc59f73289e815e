UPDATE t SET a = a + 1, b = CONCAT('u', w), w = w + 1 WHERE id = 1 + FLOOR(RAND() * 400);

INSERT INTO t (id, a) SELECT 1000 + FLOOR(RAND() * 500), 5;
