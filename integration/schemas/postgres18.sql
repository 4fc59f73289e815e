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
