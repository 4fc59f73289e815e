SET session_replication_role = replica;
UPDATE t SET a = a + 1 WHERE id = 1 + floor(random() * 800);

SET session_replication_role = replica;
DELETE FROM t WHERE id = 1 + floor(random() * 800);

SET session_replication_role = replica;
INSERT INTO t VALUES (1 + floor(random() * 800));
