UPDATE t SET a = a + 1, b = CASE WHEN random() < 0.5 THEN 'b' || random() END WHERE id IN (SELECT id FROM t ORDER BY random() LIMIT 5);

INSERT INTO t (id, a, b, j) VALUES (10000 + (random() * 1e8)::int, 7, 'new', '{"n": 22}') ON CONFLICT DO NOTHING;

UPDATE t SET seen = seen + interval '5 h', j = jsonb_build_object('n', id % 1000) WHERE id % 50 = (random() * 50)::int;

DELETE FROM t WHERE id = (SELECT id FROM t WHERE id > 10000 ORDER BY random() LIMIT 1);
