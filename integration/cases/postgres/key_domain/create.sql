CREATE DOMAIN short AS varchar(20) CHECK (value <> ''); CREATE DOMAIN code AS short NOT NULL;
CREATE TABLE t (k code, v int NOT NULL, w text, PRIMARY KEY (k));
INSERT INTO t SELECT 'c' || g, g, 'row ' || g FROM generate_series(1, 1500) AS g;
