-- Event triggers that give something to every new table, the journal's too: row security, a policy, another owner. Every new
-- schema gets another owner.
CREATE TABLE t (id int PRIMARY KEY, v text, n int);
INSERT INTO t SELECT i, 'v' || i, i % 7 FROM generate_series(1, 500) AS i;
DO $$ BEGIN CREATE ROLE case_group NOLOGIN; EXCEPTION WHEN duplicate_object THEN NULL; WHEN unique_violation THEN NULL; END $$;
CREATE FUNCTION dress() RETURNS event_trigger LANGUAGE plpgsql AS $f$
DECLARE r record;
BEGIN
    FOR r IN SELECT * FROM pg_event_trigger_ddl_commands()
             WHERE command_tag = 'CREATE TABLE' AND object_type = 'table' LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', r.object_identity);
        EXECUTE format('CREATE POLICY everybody ON %s USING (true)', r.object_identity);
        EXECUTE format('ALTER TABLE %s OWNER TO case_group', r.object_identity);
    END LOOP;
END $f$;
CREATE EVENT TRIGGER dress ON ddl_command_end EXECUTE FUNCTION dress();
CREATE FUNCTION give_schema() RETURNS event_trigger LANGUAGE plpgsql AS $f$
DECLARE r record;
BEGIN
    FOR r IN SELECT * FROM pg_event_trigger_ddl_commands() WHERE command_tag = 'CREATE SCHEMA' LOOP
        EXECUTE format('ALTER SCHEMA %s OWNER TO case_group', r.object_identity);
    END LOOP;
END $f$;
CREATE EVENT TRIGGER give_schema ON ddl_command_end WHEN TAG IN ('CREATE SCHEMA') EXECUTE FUNCTION give_schema();
