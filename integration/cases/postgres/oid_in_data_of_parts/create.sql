-- Tables that keep the OIDs of the table's indexes, sequence, types and materialized view as data.
CREATE TABLE t (id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, v text, n int);
INSERT INTO t (v, n) SELECT 'v' || i, i % 7 FROM generate_series(1, 300) i;
CREATE MATERIALIZED VIEW mv AS SELECT id FROM t; CREATE UNIQUE INDEX ON mv (id);
CREATE TABLE reg (c regclass PRIMARY KEY); INSERT INTO reg VALUES ('t'), ('t_pkey'), ('t_id_seq'), ('mv'), ('mv_id_idx');
CREATE TABLE reg2 (y regtype PRIMARY KEY); INSERT INTO reg2 VALUES ('t'), ('t[]'), ('mv');
CREATE TABLE reg3 (id int PRIMARY KEY, os oid[]); INSERT INTO reg3 VALUES (1, ARRAY['t'::regclass::oid, 't_pkey'::regclass::oid, 3]);
