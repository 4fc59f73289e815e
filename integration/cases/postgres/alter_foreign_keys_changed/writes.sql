UPDATE t SET n = n + 1, p = 1 + (random() * 49)::int WHERE id IN (SELECT id FROM t ORDER BY random() LIMIT 5);

INSERT INTO t (id, n, q) VALUES (10000 + (random() * 1e8)::int, 7, 3) ON CONFLICT DO NOTHING;

DELETE FROM t WHERE id = (SELECT id FROM t WHERE id > 10000 ORDER BY random() LIMIT 1);
