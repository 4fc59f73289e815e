CREATE TABLE parent (id int PRIMARY KEY);
INSERT INTO parent SELECT g FROM generate_series(1, 50) AS g;
CREATE TABLE t (id int PRIMARY KEY, b int NOT NULL UNIQUE, p int CONSTRAINT "t P" REFERENCES parent, up int CONSTRAINT t_up REFERENCES t (b));
INSERT INTO t SELECT g, g, 1 + g % 50, g FROM generate_series(1, 300) AS g;
CREATE TABLE child (t int CONSTRAINT child_t REFERENCES t, b int CONSTRAINT child_b REFERENCES t (b));
INSERT INTO child SELECT g, g FROM generate_series(1, 100) AS g;
