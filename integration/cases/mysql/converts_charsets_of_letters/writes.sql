UPDATE t SET c0 = 'Größe', c1 = 'Łódź', c2 = 'İğ', c3 = 'Čū', c4 = 'abc', c5 = 'Ωю', c6 = '𝄞ю', c7 = '𝄞', c8 = '𝄞é', c9 = 'дом', c10 = '😀é', c11 = '😀 ', c12 = 'дом', c13 = 'їжак', c14 = 'říč', c15 = 'дім', c16 = 'سلام', c17 = 'ąž', c18 = 'ñ', c19 = 'ł', c20 = 'дом' WHERE id = 1 + FLOOR(RAND() * 400);

UPDATE t SET w = w + 1 WHERE id = 1 + FLOOR(RAND() * 400);

DELETE FROM t WHERE id = 1 + FLOOR(RAND() * 400) AND id % 7 = 0;

INSERT IGNORE INTO t SELECT * FROM (SELECT * FROM t WHERE id % 5 = 0 ORDER BY RAND() LIMIT 1) x;

UPDATE t SET id = id + 1000 WHERE id = 1 + FLOOR(RAND() * 400) AND id % 11 = 0;
