CREATE TABLE t (k bool, v int NOT NULL, w text, d date NOT NULL DEFAULT current_date + (random() * 1e6)::int, PRIMARY KEY (k, d));
INSERT INTO t SELECT g % 2 = 0, g, 'row ' || g, '2000-01-01'::date + g / 2 FROM generate_series(1, 1500) AS g;
