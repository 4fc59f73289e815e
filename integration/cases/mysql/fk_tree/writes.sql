DELETE FROM t WHERE id = 1 + (40 + FLOOR(RAND() * 860)) * 7919 % 2003;

SET @n = 40 + FLOOR(RAND() * 860);
SET @id = 1 + @n * 7919 % 2003;
START TRANSACTION;
DELETE FROM t WHERE id = @id;
INSERT INTO t (id, v) VALUES (@id, @n);
INSERT IGNORE INTO t (id, parent, v) VALUES (1 + @n * 4 * 7919 % 2003, @id, @n * 4);
COMMIT;

SET @id = 1 + FLOOR(RAND() * 100000) * 10000;
INSERT INTO t (id, parent) SELECT @id, MIN(id) FROM t WHERE id BETWEEN 1 + FLOOR(RAND() * 1000) AND 2003;
INSERT INTO t (id, parent, twin) VALUES (-@id, @id, @id), (@id + 1, @id, NULL), (-1 - @id, @id + 1, -@id);
UPDATE t SET v = v + 1 WHERE id IN (-@id, -1 - @id);
DELETE FROM t WHERE id = @id;

SET @id = 5000 + FLOOR(RAND() * 100000) * 10000;
INSERT INTO t (id, parent) SELECT @id, id FROM t WHERE id = 1 + (1 + FLOOR(RAND() * 300)) * 7919 % 2003;
INSERT INTO t (id, parent) VALUES (-@id, @id), (@id + 1, -@id);

DELETE FROM shops WHERE id = 1 + FLOOR(RAND() * 200);

UPDATE t SET v = v + 1 WHERE id = 1 + (FLOOR(RAND() * 900)) * 7919 % 2003;

SET @id = 1 + (1 + FLOOR(RAND() * 900)) * 7919 % 2003;
DELETE FROM t WHERE id = @id AND parent IS NOT NULL AND id % 7 = 0;
INSERT IGNORE INTO t (id, parent) VALUES (@id, 1);
