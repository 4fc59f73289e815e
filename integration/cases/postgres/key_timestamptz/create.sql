CREATE TABLE t (k timestamptz, v int NOT NULL, w text, PRIMARY KEY (k));
INSERT INTO t SELECT '2020-01-01 00:00:00.123456+02'::timestamptz + g * interval '17.000001 s', g, 'row ' || g FROM generate_series(1, 1500) AS g;
