UPDATE t SET id = id + 10 WHERE id = 1 + FLOOR(RAND() * 400);
