UPDATE t SET region = FLOOR(RAND() * 20) WHERE id = 1 + FLOOR(RAND() * 400);

UPDATE t SET b = CONCAT('u', id) WHERE id = 1 + FLOOR(RAND() * 400);

DELETE FROM t WHERE id = 1 + FLOOR(RAND() * 400);

INSERT INTO t (id, region, b) SELECT 1000 + FLOOR(RAND() * 500), FLOOR(RAND() * 20), 'i';
