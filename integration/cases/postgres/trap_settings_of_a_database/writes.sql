UPDATE t SET n = n + 1, v = v || 'ü' WHERE n % 50 = (random() * 49)::int

UPDATE t SET f = f * 3.0000000000000004, i = i + interval '1 second' WHERE n % 97 = (random() * 96)::int

INSERT INTO t SELECT clock_timestamp(), random(), decode('00ff5c27', 'hex'), interval '-1 month +2 days', 'é', 5

DELETE FROM t WHERE n = 5 AND random() < 0.2
