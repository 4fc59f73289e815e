INSERT INTO t (a, c, f, d) VALUES (random() * 100, random() * 1000, random(), random());

UPDATE t SET f = f * 1.1, d = d * 0.9 WHERE id = 1 + floor(random() * 900);

DELETE FROM t WHERE id = 1 + floor(random() * 1200);

UPDATE t SET id = id + 100000 WHERE id = (SELECT id FROM t WHERE id > random() * 900 ORDER BY id LIMIT 1);

BEGIN;
INSERT INTO t (a) VALUES (1), (2), (3);
SAVEPOINT here;
DELETE FROM t WHERE a < 10;
ROLLBACK TO here;
UPDATE t SET a = a + 1 WHERE id IN (SELECT id FROM t WHERE a = 2 ORDER BY id LIMIT 5);
COMMIT;

BEGIN;
DELETE FROM t WHERE id IN (SELECT id FROM t WHERE id > 800 ORDER BY id LIMIT 3);
ROLLBACK;
