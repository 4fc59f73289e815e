UPDATE t SET k = k + 1 WHERE id = 1 + (random() * 299)::int
