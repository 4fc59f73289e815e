UPDATE t SET b = x'ff00', v = '', t1 = x'0000', u = UNHEX(LEFT(SHA2(RAND(), 256), 32)), e = x'c3' WHERE id = 1 + FLOOR(RAND() * 400);

UPDATE t SET w = w + 1 WHERE id = 1 + FLOOR(RAND() * 400);

DELETE FROM t WHERE id = 1 + FLOOR(RAND() * 400) AND id % 7 = 0;

INSERT IGNORE INTO t SELECT * FROM (SELECT * FROM t WHERE id % 5 = 0 ORDER BY RAND() LIMIT 1) x;

UPDATE t SET id = id + 1000 WHERE id = 1 + FLOOR(RAND() * 400) AND id % 11 = 0;
