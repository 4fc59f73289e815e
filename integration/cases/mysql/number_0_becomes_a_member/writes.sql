UPDATE t SET a = '1' WHERE id = 1 + FLOOR(RAND() * 400);
