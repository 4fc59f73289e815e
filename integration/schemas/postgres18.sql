-- What PostgreSQL has since version 18.
CREATE TABLE shop.modern (
    id int PRIMARY KEY,
    order_id bigint,
    doubled int GENERATED ALWAYS AS (id * 2) VIRTUAL,
    v text CONSTRAINT v_is_there NOT NULL,
    w text,
    CONSTRAINT modern_check CHECK (id > 0) NOT ENFORCED
);
INSERT INTO shop.modern (id, order_id, v, w) SELECT i, -i, 'v', NULL FROM generate_series(1, 100) i;
ALTER TABLE shop.modern ADD CONSTRAINT w_is_there NOT NULL w NOT VALID;
COMMENT ON CONSTRAINT v_is_there ON shop.modern IS 'it is';
ALTER TABLE shop.modern ADD CONSTRAINT modern_order FOREIGN KEY (order_id) REFERENCES shop.orders NOT ENFORCED;

CREATE EXTENSION btree_gist;
CREATE TABLE shop.stays (
    id int PRIMARY KEY,
    room int NOT NULL,
    during daterange NOT NULL,
    CONSTRAINT stays_once UNIQUE (room, during WITHOUT OVERLAPS)
);
INSERT INTO shop.stays SELECT i, i % 10, daterange(date '2026-01-01' + i, date '2026-01-02' + i) FROM generate_series(1, 100) i;
CREATE TABLE shop.breakfasts (
    id int PRIMARY KEY,
    room int,
    during daterange,
    CONSTRAINT breakfasts_stay FOREIGN KEY (room, PERIOD during) REFERENCES shop.stays (room, PERIOD during)
);
-- Partitions have their parent's numbers.
CREATE TABLE shop.numbered (id bigint GENERATED ALWAYS AS IDENTITY, k int NOT NULL, PRIMARY KEY (id, k)) PARTITION BY RANGE (k);
CREATE TABLE shop.numbered_1 PARTITION OF shop.numbered FOR VALUES FROM (0) TO (100);
INSERT INTO shop.numbered (k) SELECT i FROM generate_series(1, 60) i;
CREATE TABLE shop.numbered_child (id int PRIMARY KEY, k int, n bigint, FOREIGN KEY (n, k) REFERENCES shop.numbered NOT ENFORCED);
