UPDATE t SET a = a + 1, b = CONCAT('b', FLOOR(RAND() * 1000)) WHERE id % 300 = FLOOR(RAND() * 300);

INSERT IGNORE INTO t (id, a, b) VALUES (10000 + FLOOR(RAND() * 100000000), 7, 'new');

UPDATE t SET seen = TIMESTAMPADD(HOUR, 5, seen), kind = IF(kind = 'x', 'y', 'x') WHERE id % 50 = FLOOR(RAND() * 50);

DELETE FROM t WHERE id > 10000 ORDER BY RAND() LIMIT 1;
