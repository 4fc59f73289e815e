UPDATE p SET id = id + 1000000 WHERE id = 1 + (random() * 99)::int

UPDATE p SET id = id - 1000000 WHERE id > 1000000

INSERT INTO c (t) SELECT id FROM t ORDER BY random() LIMIT 1 FOR KEY SHARE

DELETE FROM t WHERE id = (SELECT id FROM t WHERE id > 1000 ORDER BY random() LIMIT 1)

INSERT INTO t SELECT 2000 + (random() * 1000000)::int, (SELECT id FROM p ORDER BY id LIMIT 1 FOR KEY SHARE), 5, 1

UPDATE t SET k = k + 1, up = id WHERE id = 1 + (random() * 999)::int
