UPDATE t SET c0 = 'é ', c1 = 'é', c2 = '日本', c3 = 'é ' WHERE id = 1 + FLOOR(RAND() * 400);

UPDATE t SET w = w + 1 WHERE id = 1 + FLOOR(RAND() * 400);

DELETE FROM t WHERE id = 1 + FLOOR(RAND() * 400) AND id % 7 = 0;

INSERT IGNORE INTO t SELECT * FROM (SELECT * FROM t WHERE id % 5 = 0 ORDER BY RAND() LIMIT 1) x;

UPDATE t SET id = id + 1000 WHERE id = 1 + FLOOR(RAND() * 400) AND id % 11 = 0;
