CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy', 'Ünder');
CREATE TABLE t (k mood, v int NOT NULL, w text, n int NOT NULL DEFAULT (random() * 1e9)::int, PRIMARY KEY (k, n));
INSERT INTO t SELECT (enum_range(NULL::mood))[1 + g % 4], g, 'row ' || g, g FROM generate_series(1, 1500) AS g;
