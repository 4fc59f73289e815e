DELETE FROM t WHERE id = 1 + FLOOR(RAND() * 900);

UPDATE t SET code = code + 1000000 WHERE id = 1 + FLOOR(RAND() * 900);

UPDATE t SET v = v + 1, above = 3 * (1 + FLOOR(RAND() * 200)) WHERE id = 1 + FLOOR(RAND() * 900);

SET @code = 1000 + FLOOR(RAND() * 1000000);
INSERT INTO t (code) VALUES (@code);
INSERT INTO kept (t) SELECT id FROM t WHERE code = @code;
INSERT INTO gone (code, other) SELECT code, id FROM t WHERE code = @code;

DELETE FROM kept WHERE id = 1 + FLOOR(RAND() * 300);

INSERT INTO kept (t) VALUES (800000);

INSERT INTO gone (code) VALUES (1 + FLOOR(RAND() * 900));
