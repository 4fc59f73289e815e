UPDATE t SET a = CONCAT(FLOOR(RAND() * 9999)), c = CONCAT(RAND()), d = '2.50' WHERE id = 1 + FLOOR(RAND() * 400);

UPDATE t SET b = CONCAT(id), e = 'true', y = '2002', d = '1.50' WHERE id = 1 + FLOOR(RAND() * 400);

DELETE FROM t WHERE id = 1 + FLOOR(RAND() * 400);

INSERT INTO t SELECT 1000 + FLOOR(RAND() * 500), '2', '4', '0.1', '7', '1.50', '2001';
