-- The server prints lists of aliases that depend on the shape of the table: after JOIN … USING and a rename, and of joins with a name.
CREATE TABLE t (id int PRIMARY KEY, v text, n int, unused int);
INSERT INTO t SELECT i, 'v' || i, i % 7, i FROM generate_series(1, 500) AS i;
CREATE TABLE u (id int PRIMARY KEY, w int);
INSERT INTO u SELECT i, i * 100 FROM generate_series(1, 5) AS i;
CREATE TABLE audit (id int, w int);
CREATE VIEW of_itself AS SELECT a, b FROM t AS x(a, b, c);
CREATE VIEW of_a_join AS SELECT a, b, e, f FROM (t JOIN u ON t.id = u.id) AS x(a, b, c, d, e, f);
CREATE VIEW joined AS SELECT id, t.v, u.w FROM t JOIN u USING (id);
CREATE VIEW on_a_view AS SELECT j.id, t.v FROM joined j JOIN t USING (id);
CREATE FUNCTION total() RETURNS bigint LANGUAGE sql STABLE
    BEGIN ATOMIC SELECT sum(x.f) FROM (t JOIN u ON t.id = u.id) AS x(a, b, c, d, e, f); END;
CREATE MATERIALIZED VIEW m AS
    WITH x AS (SELECT id, n FROM public.t), t AS (SELECT n, count(*) AS c FROM x GROUP BY n)
    SELECT t.n, t.c, x.id FROM t JOIN x USING (n);
CREATE UNIQUE INDEX ON m (id);
CREATE MATERIALIZED VIEW m_join AS SELECT a, f FROM (t JOIN u ON t.id = u.id) AS x(a, b, c, d, e, f);
CREATE UNIQUE INDEX ON m_join (a);
CREATE RULE noted AS ON INSERT TO u DO ALSO
    INSERT INTO audit SELECT x.a, x.f FROM (t JOIN u ON t.id = u.id) AS x(a, b, c, d, e, f) WHERE x.a = new.id;
ALTER TABLE u ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON u USING (EXISTS (SELECT FROM (t JOIN audit ON t.id = audit.id) AS y(a, b, c, d, e, f) WHERE y.f > 0) OR true);
