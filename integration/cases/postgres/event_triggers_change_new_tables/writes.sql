UPDATE t SET v = v || 'x' WHERE id = 1 + (random() * 29)::int AND length(v) < 30

INSERT INTO t (id, v, n) SELECT 100000 + (random() * 1000000)::int, 'w', 3 ON CONFLICT DO NOTHING
