CREATE TABLE parent (id int PRIMARY KEY);
INSERT INTO parent SELECT i FROM generate_series(1, 100) i;
CREATE TABLE whole (id bigint, k int NOT NULL, p int REFERENCES parent ON DELETE SET NULL, v text, PRIMARY KEY (id, k))
    PARTITION BY RANGE (k);
CREATE TABLE t PARTITION OF whole FOR VALUES FROM (0) TO (100);
CREATE TABLE other PARTITION OF whole FOR VALUES FROM (100) TO (200);
CREATE TABLE rest PARTITION OF whole DEFAULT;
CREATE INDEX whole_v ON whole (v);
INSERT INTO whole SELECT i, i % 220, 1 + i % 100, 'v' || i FROM generate_series(1, 2000) i;
CREATE TABLE child (id serial PRIMARY KEY, w bigint, k int, FOREIGN KEY (w, k) REFERENCES whole ON DELETE CASCADE ON UPDATE CASCADE);
INSERT INTO child (w, k) SELECT id, k FROM whole WHERE id % 7 = 0;
CREATE VIEW looked_at AS SELECT id, v FROM t;
