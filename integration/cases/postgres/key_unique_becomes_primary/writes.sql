UPDATE t SET v = v + 1, w = w || 'x' WHERE k IN (SELECT k FROM t ORDER BY random() LIMIT 5);

INSERT INTO t SELECT (random() * 1e9)::int, 7, 'new' ON CONFLICT DO NOTHING;

DELETE FROM t WHERE k = (SELECT k FROM t ORDER BY random() LIMIT 1);

UPDATE t SET k = (SELECT (random() * 1e9)::int), v = v + 1 WHERE k = (SELECT k FROM t ORDER BY random() LIMIT 1);
