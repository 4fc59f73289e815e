UPDATE t SET v = v + 1, w = w || 'x' WHERE k IN (SELECT k FROM t ORDER BY random() LIMIT 5);

INSERT INTO t SELECT int4range((random() * 1e9)::int / 2, (random() * 1e9)::int / 2 + 500000000), 7, 'new' ON CONFLICT DO NOTHING;

DELETE FROM t WHERE k = (SELECT k FROM t ORDER BY random() LIMIT 1);

UPDATE t SET k = (SELECT int4range((random() * 1e9)::int / 2, (random() * 1e9)::int / 2 + 500000000)), v = v + 1 WHERE k = (SELECT k FROM t ORDER BY random() LIMIT 1);
