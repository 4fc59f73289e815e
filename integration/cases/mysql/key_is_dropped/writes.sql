UPDATE t SET a = a + 1 WHERE id = 1 + FLOOR(RAND() * 400);

DELETE FROM t WHERE id = 1 + FLOOR(RAND() * 400);

INSERT INTO t (id, a, b) SELECT 1000 + FLOOR(RAND() * 500), 5, 'i';

UPDATE t SET id = id + 600 WHERE id = 1 + FLOOR(RAND() * 400);
