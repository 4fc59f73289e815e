DELETE FROM p WHERE x = 1 + FLOOR(RAND() * 300);

UPDATE p SET code = CONCAT('new ', code) WHERE x = 1 + FLOOR(RAND() * 300) AND CHAR_LENGTH(code) < 16;

UPDATE p SET a = a + 10 WHERE x = 1 + FLOOR(RAND() * 300);

UPDATE p SET x = x WHERE x = 1 + FLOOR(RAND() * 300);

SET @p = CONCAT('w', FLOOR(RAND() * 1000000));
INSERT INTO p VALUES (1, @p, NULL);
INSERT INTO t (a, code, n) VALUES (1, @p, 1), (1, @p, 2);
UPDATE p SET a = 2 WHERE code = @p;
UPDATE t SET v = v + 1 WHERE code = @p;
DELETE FROM p WHERE code = @p;
INSERT INTO p VALUES (1, @p, NULL);
INSERT INTO t (a, code, n) VALUES (1, @p, 2), (1, @p, 3);

START TRANSACTION;
DELETE FROM t WHERE n = 1 + FLOOR(RAND() * 900) LIMIT 1;
UPDATE p SET a = a + 100 WHERE x = 1 + FLOOR(RAND() * 300);
COMMIT;

UPDATE t SET v = v + 1 WHERE n = 1 + FLOOR(RAND() * 900);
