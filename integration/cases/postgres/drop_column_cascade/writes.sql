UPDATE t SET n = n + 1 WHERE id = 1 + (random() * 29)::int

INSERT INTO t (id, n) VALUES (1000 + (random() * 1000)::int, 1) ON CONFLICT (id) DO NOTHING
