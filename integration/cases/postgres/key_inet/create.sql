CREATE TABLE t (k inet, v int NOT NULL, w text, PRIMARY KEY (k));
INSERT INTO t SELECT ('10.0.0.0'::inet + g), g, 'row ' || g FROM generate_series(1, 1500) AS g;
