INSERT INTO t (at) VALUES (NOW(6));

SET time_zone = '+00:00';
UPDATE t SET at = NOW(6) WHERE id = 1 + FLOOR(RAND() * 800);

SET time_zone = '-07:00';
UPDATE t SET at = '2020-01-01 00:00:00' WHERE id = 1 + FLOOR(RAND() * 800);
