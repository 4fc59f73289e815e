UPDATE t SET words = CONCAT('word', RAND()), doc = JSON_OBJECT('list', JSON_ARRAY(1, 2, 3)) WHERE id = FLOOR(RAND() * 900);

DELETE FROM t WHERE id = FLOOR(RAND() * 900);

INSERT INTO t (id, a, doc, words) VALUES (1000 + FLOOR(RAND() * 1000000), 1, '{"list": [7]}', 'some new words');
