-- Foreign keys and a view that need a primary key; a view on columns.
CREATE TABLE t (id int CONSTRAINT t_pkey PRIMARY KEY, v text, n int NOT NULL, u int NOT NULL UNIQUE, "Column" int, nowhere int);
INSERT INTO t SELECT i, 'v' || i, i % 7, i FROM generate_series(1, 300) i;
CREATE VIEW grouped AS SELECT id, n FROM t GROUP BY id; CREATE VIEW gg AS SELECT "Column", nowhere FROM t;
CREATE TABLE child (a int REFERENCES t (id), b int REFERENCES t (u)); ALTER TABLE t ADD FOREIGN KEY (id) REFERENCES t (id);
