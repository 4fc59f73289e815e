-- Tables that keep the OID of the table as data, and a trigger that looks itself up by it.
CREATE TABLE t (id int PRIMARY KEY, v text, n int);
INSERT INTO t SELECT i, 'v' || i, i % 7 FROM generate_series(1, 500) AS i;
CREATE DOMAIN relation AS regclass;
CREATE TYPE part AS (of regclass, more regclass[]);
CREATE TABLE registry (rel regclass PRIMARY KEY, also relation, many regclass[], row_type regtype, number oid, part part);
INSERT INTO registry SELECT 't', 't', '{pg_class,t}', 't', 't'::regclass::oid, ROW('t'::regclass, '{t}'::regclass[])::part;
CREATE FUNCTION registered() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM public.registry WHERE rel = TG_RELID) THEN RAISE '% is not registered', TG_TABLE_NAME; END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER registered BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION registered();
