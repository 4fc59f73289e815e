CREATE TABLE t (k int PRIMARY KEY, a int NOT NULL, b text COLLATE "C" NOT NULL, u int UNIQUE, note text);
CREATE INDEX by_a ON t (a, b);
INSERT INTO t SELECT n, (n * 7919) % 1000, 'b' || n % 13, n, 'note ' || n FROM generate_series(1, 1200) n;
