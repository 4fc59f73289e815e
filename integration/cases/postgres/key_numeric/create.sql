CREATE TABLE t (k numeric, v int NOT NULL, w text, PRIMARY KEY (k));
INSERT INTO t SELECT CASE WHEN g % 2 = 0 THEN g ELSE (g || '.' || repeat('0', g % 5))::numeric + 0.50 END, g, 'row ' || g FROM generate_series(1, 1500) AS g;
