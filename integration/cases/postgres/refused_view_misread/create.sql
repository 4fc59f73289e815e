CREATE TABLE t (id int PRIMARY KEY, k int, v text);
INSERT INTO t SELECT i, i % 10, 'v' || i FROM generate_series(1, 200) i;
CREATE VIEW plain AS SELECT * FROM (SELECT id, k FROM t UNION ALL SELECT id, NULL FROM t) q;
CREATE VIEW misread AS SELECT * FROM (SELECT id, v FROM t UNION ALL SELECT id, 'over
lines' FROM t) q;
