-- What PostgreSQL has since version 15.
CREATE TABLE shop.once (id int PRIMARY KEY, a int, b int, CONSTRAINT once_ab UNIQUE NULLS NOT DISTINCT (a, b));
INSERT INTO shop.once SELECT i, i, NULL FROM generate_series(1, 100) i;
CREATE PUBLICATION some_of_it FOR TABLE shop.once (id, a) WHERE (id > 3 AND a < 1000), shop.watched;
CREATE PUBLICATION whole_schema FOR TABLES IN SCHEMA "Odd Names";
CREATE VIEW shop.once_mine WITH (security_invoker = true) AS SELECT * FROM shop.once;
ALTER TABLE shop.once ADD CONSTRAINT once_set FOREIGN KEY (a, b) REFERENCES shop.once (a, b) ON DELETE SET NULL (b);
