CREATE TABLE parent (id int PRIMARY KEY, name text);
INSERT INTO parent SELECT g, 'p' || g FROM generate_series(1, 50) AS g;
CREATE TABLE other (id int PRIMARY KEY);
INSERT INTO other SELECT g FROM generate_series(0, 99) AS g;
CREATE TABLE t (
    id int PRIMARY KEY,
    a int NOT NULL DEFAULT 1 CONSTRAINT t_a REFERENCES other,
    p int CONSTRAINT t_p REFERENCES parent,
    q int CONSTRAINT "t Q" REFERENCES parent ON DELETE SET NULL,
    s int CONSTRAINT t_s REFERENCES t,
    n int
);
COMMENT ON CONSTRAINT "t Q" ON t IS 'it''s kept';
INSERT INTO t SELECT g, g % 100, 1 + g % 50, 1 + g % 7, 1, g % 90 FROM generate_series(1, 1500) AS g;
ALTER TABLE t ADD CONSTRAINT t_late FOREIGN KEY (n) REFERENCES other NOT VALID;
UPDATE t SET n = NULL;
