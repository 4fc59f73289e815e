UPDATE t SET v = 'w' || k, k = k + 1 WHERE id = 2 + (random() * 898)::int

INSERT INTO t VALUES (5000 + (random() * 1e9)::int, 1, 'x') ON CONFLICT DO NOTHING
