CREATE TABLE t (
    id INT PRIMARY KEY,
    a INT,
    b VARCHAR(60),
    c VARCHAR(40) DEFAULT 'x',
    address VARCHAR(90) NOT NULL DEFAULT 'Elm Street 1, 12345 Town',
    seen DATETIME(3) NOT NULL DEFAULT '2026-03-29 00:30:00.500',
    kind ENUM('x', 'y') NOT NULL DEFAULT 'y',
    twice INT GENERATED ALWAYS AS (a * 2) STORED,
    KEY t_b (b)
);
INSERT INTO t (id, a, b, c, address, seen, kind)
WITH RECURSIVE d (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM d WHERE n < 49)
SELECT g, g % 100, CONCAT('b', g), IF(g % 5 > 0, CONCAT('c', g), NULL),
       IF(g % 7 > 0, CONCAT('Street ', g, ', 1000', g % 10, ' Town'), 'none'),
       TIMESTAMPADD(MINUTE, g * 7, '2026-03-28 00:00:00.250'), IF(g % 2, 'x', 'y')
FROM (SELECT one.n * 50 + two.n + 1 AS g FROM d one, d two WHERE one.n < 30) AS numbers;
