UPDATE t SET a = a + 1 WHERE id = 1 + FLOOR(RAND() * 400);

UPDATE t SET code = UUID() WHERE id = 1 + FLOOR(RAND() * 400);

DELETE FROM t WHERE id = 1 + FLOOR(RAND() * 400);

INSERT INTO t (id, code, a) SELECT 1000 + FLOOR(RAND() * 500), UUID(), 5;

UPDATE t SET id = id + 600 WHERE id = 1 + FLOOR(RAND() * 400);
