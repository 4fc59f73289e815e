INSERT INTO child (t) SELECT id FROM t ORDER BY random() LIMIT 1 FOR KEY SHARE

DELETE FROM t WHERE id = (SELECT id FROM t WHERE id > 400 ORDER BY random() LIMIT 1)

INSERT INTO t (id, up) SELECT 2000 + (random() * 1000000)::int, 1

UPDATE t SET up = 2 WHERE id = (SELECT 1 + (random() * 399)::int)
