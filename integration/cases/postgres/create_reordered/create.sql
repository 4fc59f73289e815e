CREATE TABLE t (
  note text,
  small smallint NOT NULL DEFAULT 7,
  k serial PRIMARY KEY,
  gone int,
  big bigint NOT NULL DEFAULT 5
);
ALTER TABLE t DROP COLUMN gone;
CREATE TABLE log (k int, what text);
CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.log VALUES (NEW.k, TG_OP); RETURN NEW; END';
CREATE TRIGGER noted AFTER UPDATE OF small ON t FOR EACH ROW EXECUTE FUNCTION noted();
CREATE VIEW seen AS SELECT k, small FROM t;
ALTER TABLE t ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON t USING (small > 0);
INSERT INTO t (note, small, big) SELECT 'note ' || n, n % 100, n * 1000000000::bigint FROM generate_series(1, 800) n;
