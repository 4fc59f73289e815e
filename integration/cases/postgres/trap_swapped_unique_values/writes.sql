DO $$ DECLARE a int := 1 + floor(random() * 800); b int := 1 + floor(random() * 800); ua int; ub int; BEGIN
 PERFORM FROM t WHERE id IN (a, b) ORDER BY id FOR UPDATE;
 SELECT u INTO ua FROM t WHERE id = a; SELECT u INTO ub FROM t WHERE id = b;
 UPDATE t SET u = NULL WHERE id = a; UPDATE t SET u = ua WHERE id = b; UPDATE t SET u = ub WHERE id = a;
END $$;

DO $$ DECLARE a int := 1 + floor(random() * 400); b int := 401 + floor(random() * 400); na text; nb text; BEGIN
 SELECT name INTO na FROM t WHERE id = a; SELECT name INTO nb FROM t WHERE id = b;
 UPDATE t SET name = 'free ' || a WHERE id = a; COMMIT;
 UPDATE t SET name = na WHERE id = b AND na IS NOT NULL; COMMIT;
 UPDATE t SET name = nb WHERE id = a AND nb IS NOT NULL;
END $$;

DO $$ DECLARE a int := 1 + floor(random() * 800); na text; BEGIN
 DELETE FROM t WHERE id = a RETURNING name INTO na;
 INSERT INTO t VALUES (801 + floor(random() * 10), NULL, coalesce(na, 'free ' || random()));
END $$;

UPDATE t SET id = id - 700 WHERE id = (SELECT min(id) FROM t WHERE id > 800);
