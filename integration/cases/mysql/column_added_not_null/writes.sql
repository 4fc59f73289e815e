UPDATE t SET b = CONCAT('u', id) WHERE id = 1 + FLOOR(RAND() * 400);

UPDATE t SET id = id + 2000 WHERE id = 1 + FLOOR(RAND() * 400);
