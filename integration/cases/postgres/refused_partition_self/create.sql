CREATE TABLE whole (id bigint, k int NOT NULL, up bigint, up_k int, v text, PRIMARY KEY (id, k),
    CONSTRAINT whole_up FOREIGN KEY (up, up_k) REFERENCES whole ON DELETE SET NULL ON UPDATE CASCADE) PARTITION BY RANGE (k);
CREATE TABLE t PARTITION OF whole FOR VALUES FROM (0) TO (100);
CREATE TABLE other PARTITION OF whole FOR VALUES FROM (100) TO (200);
INSERT INTO whole SELECT i, i % 200, i, i % 200, 'v' || i FROM generate_series(1, 1000) i;
