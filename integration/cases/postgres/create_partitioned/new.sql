-- The key must say the partition.
CREATE TABLE t (
  id bigint NOT NULL DEFAULT 0,
  made date NOT NULL,
  note text,
  PRIMARY KEY (id, made)
) PARTITION BY RANGE (made);
CREATE TABLE t_2024 PARTITION OF t FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE t_later PARTITION OF t DEFAULT;
CREATE INDEX by_note ON t (note);
COMMENT ON TABLE t IS 'by year; the rest; and more';
