UPDATE t SET at = clock_timestamp(), n = n + 1 WHERE k = 1 + floor(random() * 1200);

UPDATE t SET at = clock_timestamp(), n = n + 1 WHERE k IN (SELECT k FROM t ORDER BY at LIMIT 10);

INSERT INTO t (k, n) SELECT 2000 + (random() * 1e8)::int, 5 ON CONFLICT DO NOTHING;

DELETE FROM t WHERE k = (SELECT k FROM t WHERE k > 2000 ORDER BY random() LIMIT 1);

UPDATE t SET at = at - interval '1 hour', k = k + 1000000 WHERE k = (SELECT k FROM t WHERE k < 1200 ORDER BY at DESC LIMIT 1);
