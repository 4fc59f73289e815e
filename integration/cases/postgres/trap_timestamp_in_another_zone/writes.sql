INSERT INTO t (at) VALUES (clock_timestamp());

SET timezone = 'America/New_York';
UPDATE t SET at = clock_timestamp() WHERE id = 1 + floor(random() * 800);
