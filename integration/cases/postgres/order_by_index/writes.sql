UPDATE t SET a = (random() * 1000)::int WHERE k = 1 + floor(random() * 1200);

UPDATE t SET a = 1000 - a, b = 'b' || (random() * 20)::int WHERE k IN (SELECT k FROM t WHERE a > random() * 1000 LIMIT 3);

INSERT INTO t SELECT 2000 + (random() * 1e8)::int, (random() * 1000)::int, 'new', NULL, 'new' ON CONFLICT DO NOTHING;

DELETE FROM t WHERE k = 1 + floor(random() * 1200);

UPDATE t SET k = k + 1000000, a = 1000 - a WHERE k = (SELECT k FROM t WHERE k > random() * 1200 ORDER BY k LIMIT 1);

BEGIN;
UPDATE t SET u = NULL, a = a / 2 WHERE k = 100;
UPDATE t SET u = 100, a = a + 400 WHERE k = 101;
COMMIT;

BEGIN;
UPDATE t SET u = 101 WHERE k = 101;
UPDATE t SET u = 100, a = 999 WHERE k = 100;
COMMIT;
