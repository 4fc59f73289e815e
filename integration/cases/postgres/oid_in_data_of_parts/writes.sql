UPDATE t SET n = n + 1 WHERE id = 1 + (random() * 29)::int
