INSERT INTO whole SELECT 3000 + (random() * 1e9)::bigint, (random() * 219)::int, 1 + (random() * 99)::int, 'new'

UPDATE whole SET k = (k + 60) % 220 WHERE id = 1 + (random() * 1999)::int

UPDATE looked_at SET v = 'seen' WHERE id = 1 + (random() * 1999)::int

DELETE FROM whole WHERE id IN (SELECT id FROM whole WHERE id > 3000 ORDER BY random() LIMIT 2)

DELETE FROM parent WHERE id = 1 + (random() * 99)::int

INSERT INTO parent SELECT 1 + (random() * 99)::int ON CONFLICT DO NOTHING

INSERT INTO child (w, k) SELECT id, k FROM whole WHERE id > 3000 ORDER BY random() LIMIT 1
