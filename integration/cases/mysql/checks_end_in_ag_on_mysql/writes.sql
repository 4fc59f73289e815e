UPDATE t SET b = b + 1, a = a - 1 WHERE id = 1 + FLOOR(RAND() * 400);
