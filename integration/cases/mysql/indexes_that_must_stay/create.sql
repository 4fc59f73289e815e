CREATE TABLE t (
  k INT NOT NULL,
  counter BIGINT NOT NULL AUTO_INCREMENT,
  doc JSON,
  words VARCHAR(200),
  UNIQUE KEY the_key (k),
  KEY plain_before (words),
  KEY counted (counter),
  KEY plain_after (words(10)),
  FULLTEXT KEY texts (words)
);

INSERT INTO t (k, doc, words)
SELECT n, CONCAT('{"n": ', n, '}'), CONCAT('word', n, ' other words') FROM
  (SELECT x.n + 30 * y.n AS n FROM
  (WITH RECURSIVE d(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM d WHERE n < 29) SELECT n FROM d) x,
  (WITH RECURSIVE d(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM d WHERE n < 29) SELECT n FROM d) y) numbers;
