BEGIN;
UPDATE t SET a = a + 1 WHERE id = 1 + floor(random() * 800);
SAVEPOINT one;
DELETE FROM t WHERE id BETWEEN 100 AND 200;
ROLLBACK TO one;
SAVEPOINT two;
UPDATE t SET id = id + 10000 WHERE id = 1 + floor(random() * 800);
RELEASE two;
COMMIT;

DO $$ BEGIN
 FOR i IN 1..70 LOOP
  BEGIN UPDATE t SET a = a + 1 WHERE id = i; IF i % 7 = 0 THEN RAISE division_by_zero; END IF;
  EXCEPTION WHEN division_by_zero THEN NULL; END;
 END LOOP;
END $$;

BEGIN;
DELETE FROM t WHERE id > 5000;
ROLLBACK;
