UPDATE t SET b = b + 1 WHERE id = 1 + FLOOR(RAND() * 400);
