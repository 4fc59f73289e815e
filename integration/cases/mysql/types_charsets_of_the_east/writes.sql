UPDATE t SET c0 = 'Ωμέγα', c1 = 'שלום', c2 = 'abc', c3 = 'é', c4 = 'č', c5 = 'å', c6 = 'é', c7 = 'ab', c8 = 'č', c9 = 'abc', c10 = 'ไทย', c11 = '中文', c12 = '中文', c13 = '中文', c14 = '한국', c15 = '日本', c16 = '日本ソ', c17 = '日本', c18 = '日本' WHERE id = 1 + FLOOR(RAND() * 400);

UPDATE t SET w = w + 1 WHERE id = 1 + FLOOR(RAND() * 400);

DELETE FROM t WHERE id = 1 + FLOOR(RAND() * 400) AND id % 7 = 0;

INSERT IGNORE INTO t SELECT * FROM (SELECT * FROM t WHERE id % 5 = 0 ORDER BY RAND() LIMIT 1) x;

UPDATE t SET id = id + 1000 WHERE id = 1 + FLOOR(RAND() * 400) AND id % 11 = 0;
