INSERT INTO whole SELECT 3000 + (random() * 1e9)::bigint, (random() * 199)::int, id, k, 'new' FROM whole ORDER BY random() LIMIT 1 FOR KEY SHARE

UPDATE whole SET v = 'x' WHERE id = (SELECT 1 + (random() * 999)::int)

UPDATE other SET v = 'y' WHERE id = (SELECT 1 + (random() * 999)::int)

DELETE FROM whole WHERE id IN (SELECT id FROM whole WHERE id > 3000 ORDER BY random() LIMIT 2)
