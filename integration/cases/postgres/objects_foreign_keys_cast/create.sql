CREATE TABLE p (id numeric PRIMARY KEY);
INSERT INTO p SELECT i FROM generate_series(1, 100) i;
CREATE TABLE codes (code char(4) PRIMARY KEY);
INSERT INTO codes VALUES ('a'), ('bcde');
CREATE TABLE t (id int PRIMARY KEY, p int NOT NULL CONSTRAINT t_p REFERENCES p, code char(4) CONSTRAINT t_code REFERENCES codes, up int CONSTRAINT t_up REFERENCES t);
INSERT INTO t SELECT i, 1 + i % 100, CASE WHEN i % 2 = 0 THEN 'a' ELSE 'bcde' END, i FROM generate_series(1, 600) i;
CREATE TABLE c (id serial PRIMARY KEY, t int CONSTRAINT c_t REFERENCES t ON DELETE CASCADE);
INSERT INTO c (t) SELECT i FROM generate_series(1, 300) i;
