CREATE TABLE t (k text, v int NOT NULL, w text, PRIMARY KEY (k));
INSERT INTO t SELECT 'k' || g || CASE g % 2 WHEN 0 THEN 'a' ELSE 'B' END, g, 'row ' || g FROM generate_series(1, 1500) AS g;
