UPDATE t SET v = v + 1, w = w || 'x' WHERE k IN (SELECT k FROM t ORDER BY random() LIMIT 5);

INSERT INTO t SELECT (SELECT string_agg(md5(random()::text || i), '') FROM generate_series(1, 65) AS i), 7, 'new' ON CONFLICT DO NOTHING;

DELETE FROM t WHERE k = (SELECT k FROM t ORDER BY random() LIMIT 1);

UPDATE t SET k = (SELECT (SELECT string_agg(md5(random()::text || i), '') FROM generate_series(1, 65) AS i)), v = v + 1 WHERE k = (SELECT k FROM t ORDER BY random() LIMIT 1);
