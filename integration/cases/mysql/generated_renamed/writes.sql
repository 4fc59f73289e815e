UPDATE t SET a = a + 1, a = a WHERE id = 1 + FLOOR(RAND() * 400);

DELETE FROM t WHERE id = 1 + FLOOR(RAND() * 400);

INSERT INTO t (id, a) SELECT 1000 + FLOOR(RAND() * 500), 5;
