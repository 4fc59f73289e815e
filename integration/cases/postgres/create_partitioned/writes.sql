INSERT INTO t (made, note) VALUES (date '2024-01-01' + (random() * 800)::int, 'new ' || random());

UPDATE t SET made = date '2024-01-01' + (random() * 800)::int WHERE id = 1 + floor(random() * 900);

UPDATE seen SET note = 'seen' WHERE id = 1 + floor(random() * 900);

DELETE FROM t WHERE id = 1 + floor(random() * 1000);

UPDATE t SET id = id + 100000 WHERE id = (SELECT id FROM t WHERE id > random() * 900 ORDER BY id LIMIT 1);
