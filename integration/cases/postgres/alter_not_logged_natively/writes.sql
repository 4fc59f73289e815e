UPDATE t SET a = a + 1 WHERE id = (random() * 300)::int
