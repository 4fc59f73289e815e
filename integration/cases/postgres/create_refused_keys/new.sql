CREATE TABLE t (id int PRIMARY KEY, b text NOT NULL UNIQUE, c int NOT NULL, p numeric(10));
