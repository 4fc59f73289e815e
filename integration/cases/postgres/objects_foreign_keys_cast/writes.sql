INSERT INTO c (t) SELECT id FROM t ORDER BY random() LIMIT 1 FOR KEY SHARE

DELETE FROM t WHERE id = (SELECT id FROM t WHERE id > 400 ORDER BY random() LIMIT 1)

INSERT INTO t SELECT 2000 + (random() * 1000000)::int, 7, 'a', 1

UPDATE t SET p = 1 + (random() * 98)::int, code = 'bcde' WHERE id = 1 + (random() * 399)::int
