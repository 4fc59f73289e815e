INSERT INTO `таблица_表` (`se``lect`) VALUES (RAND() * 100);

UPDATE `таблица_表` SET `größe 'x'` = RAND() WHERE id = 1 + FLOOR(RAND() * 800);

DELETE FROM `таблица_表` WHERE id = 1 + FLOOR(RAND() * 800);
