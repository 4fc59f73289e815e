CREATE TABLE parent (id int PRIMARY KEY, name text);
INSERT INTO parent SELECT g, 'p' || g FROM generate_series(1, 50) AS g;
CREATE TABLE t (
    id int PRIMARY KEY,
    a int NOT NULL DEFAULT 1,
    b text,
    c varchar(40) DEFAULT 'x',
    p int,
    n int
);
CREATE INDEX t_a ON t (a);
INSERT INTO t SELECT g, g % 100, 'b' || g, 'c' || g, 1 + g % 50, g FROM generate_series(1, 1500) AS g;
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER stamp BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION stamp();
