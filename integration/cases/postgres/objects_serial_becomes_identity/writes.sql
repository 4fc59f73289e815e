INSERT INTO t (v) VALUES ('new')

UPDATE t SET v = v || 'x' WHERE id = (SELECT 1 + (random() * 500)::int) AND length(v) < 50
