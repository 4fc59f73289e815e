INSERT INTO `we"ird ``na'me`` %_x` (`se``lect`) VALUES (RAND() * 100);

UPDATE `we"ird ``na'me`` %_x` SET `größe 'x'` = RAND() WHERE id = 1 + FLOOR(RAND() * 800);

DELETE FROM `we"ird ``na'me`` %_x` WHERE id = 1 + FLOOR(RAND() * 800);
