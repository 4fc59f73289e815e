INSERT INTO t (note) VALUES ('new');

UPDATE t SET big = big + 1 WHERE k = 1 + floor(random() * 800);

UPDATE seen SET small = small WHERE k = 1 + floor(random() * 800);

DELETE FROM t WHERE k = 1 + floor(random() * 900);
