UPDATE t SET v = v || 'x' WHERE id = 1 + (random() * 29)::int
