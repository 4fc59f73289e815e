CREATE TABLE t (
  big bigint NOT NULL DEFAULT 5,
  k serial PRIMARY KEY,
  amount smallint NOT NULL DEFAULT 7,
  note varchar(100)
) WITH (fillfactor = 80);
CREATE INDEX by_amount ON t (amount) INCLUDE (note);
