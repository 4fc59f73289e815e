UPDATE t SET b = CONCAT('u', FLOOR(RAND() * 99)) WHERE id = 1 + FLOOR(RAND() * 400);

UPDATE t SET doc = JSON_SET(doc, '$.id', id + 1000, '$.x', region) WHERE id = 1 + FLOOR(RAND() * 400);

UPDATE t SET region = region + 1 WHERE id = 1001 + FLOOR(RAND() * 400);

DELETE FROM t WHERE id = 1 + FLOOR(RAND() * 400);

INSERT INTO t (region, doc, b) SELECT 7, JSON_OBJECT('id', FLOOR(RAND() * 400)), 'i';
