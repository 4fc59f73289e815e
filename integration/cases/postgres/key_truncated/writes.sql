INSERT INTO t SELECT (random() * 1e6)::int, 1, 'a' FROM generate_series(1, 200) ON CONFLICT DO NOTHING;

UPDATE t SET v = v + 1 WHERE k IN (SELECT k FROM t LIMIT 50);

TRUNCATE t; INSERT INTO t SELECT g, g, 'again' FROM generate_series(1, 300) AS g; SELECT pg_sleep(0.02);

SELECT pg_sleep(0.1);
