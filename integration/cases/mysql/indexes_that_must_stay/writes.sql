UPDATE t SET words = CONCAT('word', RAND()) WHERE k = FLOOR(RAND() * 900);

DELETE FROM t WHERE k = FLOOR(RAND() * 900);

INSERT INTO t (k, words) VALUES (1000 + FLOOR(RAND() * 1000000), 'some new words');
