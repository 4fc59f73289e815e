-- A table whose trigger would fire if the swap changed the OID in it.
CREATE TABLE t (id int PRIMARY KEY, v text, n int);
INSERT INTO t SELECT i, 'v' || i, i % 7 FROM generate_series(1, 500) AS i;
CREATE TABLE registry (rel regclass PRIMARY KEY, note text);
INSERT INTO registry VALUES ('t', 'kept');
CREATE FUNCTION fixed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'never changed'; END $$;
CREATE TRIGGER fixed BEFORE UPDATE ON registry FOR EACH ROW EXECUTE FUNCTION fixed();
CREATE TABLE listed (id int PRIMARY KEY, all_of_them oidvector);
INSERT INTO listed VALUES (1, 't'::regclass::oid::text::oidvector);
