INSERT INTO t VALUES (5000 + (random() * 1e9)::int, (random() * 9)::int, 'w') ON CONFLICT DO NOTHING

UPDATE t SET k = (k + 1) % 10 WHERE id = 1 + (random() * 1199)::int

DELETE FROM t WHERE id = (SELECT max(id) FROM t WHERE id > 5000)

SELECT count(*) FROM per_k, most, seen
