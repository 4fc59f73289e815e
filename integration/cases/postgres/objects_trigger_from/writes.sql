UPDATE t SET k = k + 1 WHERE id = 1 + (random() * 1199)::int

BEGIN; INSERT INTO u (t) VALUES (1 + (random() * 1100)::int); SELECT count(*) FROM u; COMMIT

UPDATE u SET t = 1 + (random() * 1100)::int WHERE id = (SELECT max(id) FROM u)

INSERT INTO t SELECT 2000 + (random() * 1e8)::int, 5 ON CONFLICT DO NOTHING
