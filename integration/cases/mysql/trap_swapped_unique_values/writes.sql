BEGIN;
SELECT 1 + FLOOR(RAND() * 800), 1 + FLOOR(RAND() * 800) INTO @a, @b;
SELECT u INTO @ua FROM t WHERE id = @a FOR UPDATE;
SELECT u INTO @ub FROM t WHERE id = @b FOR UPDATE;
UPDATE t SET u = NULL WHERE id = @a;
UPDATE t SET u = @ua WHERE id = @b;
UPDATE t SET u = @ub WHERE id = @a;
COMMIT;

SELECT 1 + FLOOR(RAND() * 400), 401 + FLOOR(RAND() * 400) INTO @a, @b;
SELECT name INTO @na FROM t WHERE id = @a;
SELECT name INTO @nb FROM t WHERE id = @b;
UPDATE t SET name = CONCAT('free ', @a) WHERE id = @a;
UPDATE t SET name = COALESCE(@na, name) WHERE id = @b;
UPDATE t SET name = COALESCE(@nb, name) WHERE id = @a;

SELECT 1 + FLOOR(RAND() * 800), 801 + FLOOR(RAND() * 10) INTO @a, @b;
SELECT name INTO @na FROM t WHERE id = @a;
DELETE FROM t WHERE id = @a;
INSERT INTO t VALUES (@b, NULL, COALESCE(@na, CONCAT('free ', @b)));

UPDATE t SET id = id - 700 WHERE id > 800 ORDER BY id LIMIT 1;
