CREATE TABLE t (
  id INT NOT NULL PRIMARY KEY,
  a INT,
  doc JSON,
  words VARCHAR(200),
  KEY plain_before (a),
  KEY lowered ((LOWER(words)), a),
  KEY hidden (a, words) INVISIBLE,
  KEY many ((CAST(doc->'$.list' AS UNSIGNED ARRAY))),
  KEY backwards (a DESC, id)
);

INSERT INTO t (id, a, doc, words)
SELECT n, n * 3, JSON_OBJECT('list', JSON_ARRAY(n, n + 1)), CONCAT('Word', n) FROM
  (SELECT x.n + 30 * y.n AS n FROM
  (WITH RECURSIVE d(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM d WHERE n < 29) SELECT n FROM d) x,
  (WITH RECURSIVE d(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM d WHERE n < 29) SELECT n FROM d) y) numbers;
