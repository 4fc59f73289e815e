UPDATE t SET j = JSON_SET(j, '$.n', FLOOR(RAND() * 1000)) WHERE id = 1 + FLOOR(RAND() * 400);

UPDATE t SET w = w + 1, id = id + 1000 WHERE id = 1 + FLOOR(RAND() * 400);
