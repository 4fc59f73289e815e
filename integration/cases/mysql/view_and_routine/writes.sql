INSERT INTO seen (a, said) VALUES (1 + RAND() * 100, 'by view');

INSERT INTO other (a) VALUES (RAND() * 100);

CALL put(5);

UPDATE seen SET a = a + 1 WHERE id = 1 + FLOOR(RAND() * 700);
