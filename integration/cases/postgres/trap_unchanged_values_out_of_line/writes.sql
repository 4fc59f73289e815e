UPDATE t SET a = a + 1 WHERE id = 1 + floor(random() * 400);

UPDATE t SET id = id + 1000 WHERE id = 1 + floor(random() * 400);

UPDATE t SET big = big || 'x' WHERE id = 1 + floor(random() * 400);
