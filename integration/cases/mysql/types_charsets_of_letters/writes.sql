UPDATE t SET c0 = 'Größe', c1 = 'Łódź', c2 = 'İğ', c3 = 'Čū', c4 = 'abc', c5 = 'Ωю', c6 = '𝄞ю', c7 = '𝄞', c8 = '𝄞é', c9 = 'дом', c10 = '😀é', c11 = '😀 ', c12 = x'00ff20', c13 = 'дом', c14 = 'їжак', c15 = 'říč', c16 = 'дім', c17 = 'سلام', c18 = 'ąž', c19 = 'ñ', c20 = 'ł', c21 = 'дом' WHERE id = 1 + FLOOR(RAND() * 400);

UPDATE t SET w = w + 1 WHERE id = 1 + FLOOR(RAND() * 400);

DELETE FROM t WHERE id = 1 + FLOOR(RAND() * 400) AND id % 7 = 0;

INSERT IGNORE INTO t SELECT * FROM (SELECT * FROM t WHERE id % 5 = 0 ORDER BY RAND() LIMIT 1) x;

UPDATE t SET id = id + 1000 WHERE id = 1 + FLOOR(RAND() * 400) AND id % 11 = 0;
