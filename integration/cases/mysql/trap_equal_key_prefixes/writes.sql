UPDATE t SET v = v + 1 WHERE a = 1 AND b = 'same' AND c = 7 AND d = 1 + FLOOR(RAND() * 800);

DELETE FROM t WHERE a = 1 AND b = 'same' AND c = 8 AND d = 1 + FLOOR(RAND() * 800);

INSERT INTO t (a, b, c, d) VALUES (1, 'same', 7 + FLOOR(RAND() * 2), FLOOR(RAND() * 1000));

UPDATE t SET c = 15 - c WHERE a = 1 AND b = 'same' AND d = 1 + FLOOR(RAND() * 800) LIMIT 1;
