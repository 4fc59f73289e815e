CREATE TABLE t (
    id int PRIMARY KEY,
    a int,
    b text,
    c varchar(40) DEFAULT 'x',
    address text NOT NULL DEFAULT 'Elm Street 1, 12345 Town',
    j jsonb NOT NULL DEFAULT '{"n": 1}',
    seen timestamptz NOT NULL DEFAULT '2026-03-29 00:30:00+00',
    twice int GENERATED ALWAYS AS (a * 2) STORED
);
CREATE INDEX t_b ON t (b);
INSERT INTO t (id, a, b, c, address, seen)
SELECT g, g % 100, 'b' || g, CASE WHEN g % 5 > 0 THEN 'c' || g END,
       CASE WHEN g % 7 > 0 THEN 'Street ' || g || ', 1000' || g % 10 || ' Town' ELSE 'none' END,
       timestamptz '2026-03-28 00:00:00+00' + g * interval '7 min'
FROM generate_series(1, 1500) AS g;
