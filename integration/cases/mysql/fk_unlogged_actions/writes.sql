DELETE FROM p WHERE id = 1 + FLOOR(RAND() * 300);

UPDATE p SET id = id + 1000000 WHERE id = 1 + FLOOR(RAND() * 300);

SET @p = 1000 + FLOOR(RAND() * 1000000);
INSERT INTO p VALUES (@p);
INSERT INTO t (p, q) VALUES (@p, @p), (@p, NULL), (NULL, @p);
UPDATE t SET v = v + 1 WHERE p = @p;
DELETE FROM p WHERE id = @p;

UPDATE t SET v = v + 1 WHERE id = 1 + FLOOR(RAND() * 900);

DELETE FROM t WHERE id = 1 + FLOOR(RAND() * 900);
