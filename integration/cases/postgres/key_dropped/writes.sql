UPDATE t SET v = v + 1, w = w || 'x' WHERE id IN (SELECT id FROM t ORDER BY random() LIMIT 5);

INSERT INTO t (v, w) VALUES (7, 'new') ON CONFLICT DO NOTHING;

DELETE FROM t WHERE id = (SELECT id FROM t ORDER BY random() LIMIT 1);

UPDATE t SET id = (random() * 1e9)::int, v = v + 1 WHERE id = (SELECT id FROM t ORDER BY random() LIMIT 1);
