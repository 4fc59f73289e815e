UPDATE t SET a = a + 1 WHERE id = 1 + FLOOR(RAND() * 400);

UPDATE t SET region = region + 1 WHERE id = 1 + FLOOR(RAND() * 400);

DELETE FROM t WHERE id = 1 + FLOOR(RAND() * 400);

INSERT INTO t (id, region, a) SELECT 1000 + FLOOR(RAND() * 500), 3, 5;
