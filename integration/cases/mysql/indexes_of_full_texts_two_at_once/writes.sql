UPDATE t SET a = CONCAT(a, ' more') WHERE id = 1 + FLOOR(RAND() * 400) AND LENGTH(a) < 40;

DELETE FROM t WHERE id = 1 + FLOOR(RAND() * 400);

INSERT INTO t SELECT 1000 + FLOOR(RAND() * 500), 'new word', 'new text';
