CREATE TABLE parent (id int PRIMARY KEY, kind text UNIQUE);
INSERT INTO parent SELECT n, 'kind ' || n FROM generate_series(1, 20) n;
CREATE TABLE t (id int PRIMARY KEY, a int CONSTRAINT t_a REFERENCES parent, b text CONSTRAINT t_b REFERENCES parent (kind), up int CONSTRAINT t_up REFERENCES t);
INSERT INTO t SELECT n, 1 + n % 20, 'kind ' || 1 + n % 20, n FROM generate_series(1, 600) n;
CREATE TABLE child (id serial PRIMARY KEY, t int CONSTRAINT child_t REFERENCES t ON DELETE CASCADE);
INSERT INTO child (t) SELECT n FROM generate_series(1, 300) n;
