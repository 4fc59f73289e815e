UPDATE t SET e = 1 + FLOOR(RAND() * 6), f = 'Я', s = FLOOR(RAND() * 16) WHERE id = 1 + FLOOR(RAND() * 400);

UPDATE t SET e = NULL, s = '', s64 = 'm1,m64' WHERE id = 1 + FLOOR(RAND() * 400);

UPDATE t SET w = w + 1 WHERE id = 1 + FLOOR(RAND() * 400);

DELETE FROM t WHERE id = 1 + FLOOR(RAND() * 400) AND id % 7 = 0;

INSERT IGNORE INTO t SELECT * FROM (SELECT * FROM t WHERE id % 5 = 0 ORDER BY RAND() LIMIT 1) x;

UPDATE t SET id = id + 1000 WHERE id = 1 + FLOOR(RAND() * 400) AND id % 11 = 0;
