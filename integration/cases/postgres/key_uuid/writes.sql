UPDATE t SET v = v + 1, w = w || 'x' WHERE k IN (SELECT k FROM t ORDER BY random() LIMIT 5);

INSERT INTO t SELECT gen_random_uuid(), 7, 'new' ON CONFLICT DO NOTHING;

DELETE FROM t WHERE k = (SELECT k FROM t ORDER BY random() LIMIT 1);

UPDATE t SET k = (SELECT gen_random_uuid()), v = v + 1 WHERE k = (SELECT k FROM t ORDER BY random() LIMIT 1);
