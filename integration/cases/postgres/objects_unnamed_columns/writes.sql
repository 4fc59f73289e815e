INSERT INTO t VALUES (5000 + (random() * 1e9)::int, (random() * 9)::int, 'w') ON CONFLICT DO NOTHING

UPDATE t SET k = (k + 1) % 10 WHERE id = 1 + (random() * 1199)::int

SELECT count(*) FROM arms, (SELECT 1 FROM kept LIMIT 1) x
