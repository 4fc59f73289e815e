UPDATE t SET a = a + 1 WHERE id = 1 + floor(random() * 700);

DELETE FROM t WHERE id = (SELECT max(id) FROM t WHERE id > 600);
