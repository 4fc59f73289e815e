CREATE TABLE parent (id numeric(10, 2) PRIMARY KEY);
INSERT INTO parent VALUES (1.5), (2);
CREATE TABLE t (id int PRIMARY KEY, b int NOT NULL UNIQUE, c int NOT NULL UNIQUE, p numeric(10, 2) CONSTRAINT t_p REFERENCES parent);
INSERT INTO t SELECT n, n, n, 1.5 FROM generate_series(1, 50) n;
CREATE TABLE child (b int CONSTRAINT child_b REFERENCES t (b), c int CONSTRAINT child_c REFERENCES t (c));
INSERT INTO child VALUES (1, 1);
