CREATE TABLE gone AS SELECT * FROM t;
SELECT last_value FROM t_k_seq;
DROP TABLE t CASCADE;
CREATE TABLE t (
  big bigint NOT NULL DEFAULT 5,
  k serial PRIMARY KEY,
  amount smallint NOT NULL DEFAULT 7,
  note varchar(100)
) WITH (fillfactor = 80);
CREATE INDEX by_amount ON t (amount) INCLUDE (note);
CREATE TRIGGER noted AFTER UPDATE OF amount ON t FOR EACH ROW EXECUTE FUNCTION noted();
CREATE VIEW seen AS SELECT k, amount AS small FROM t;
ALTER TABLE t ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON t USING (amount > 0);
ALTER TABLE t DISABLE TRIGGER noted;
INSERT INTO t (big, k, amount, note) SELECT big, k, small, note FROM gone;
ALTER TABLE t ENABLE TRIGGER noted;
DROP TABLE gone;
