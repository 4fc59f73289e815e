UPDATE t SET a = a + 1 WHERE id = 0;

UPDATE t SET a = a + 1 WHERE id < 0 AND id % 50 = FLOOR(RAND() * 50);

SET sql_mode = CONCAT(@@sql_mode, ',NO_AUTO_VALUE_ON_ZERO');
DELETE FROM t WHERE id = 0;
INSERT INTO t (id) VALUES (0);

UPDATE t SET id = -id WHERE id = 1 + FLOOR(RAND() * 800);

DELETE FROM t WHERE id = -1 - FLOOR(RAND() * 800);
