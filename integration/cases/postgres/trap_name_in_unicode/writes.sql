INSERT INTO "таблица_表" ("se""lect") VALUES (random() * 100);

UPDATE "таблица_表" SET "größe 'x'" = random() WHERE id = 1 + floor(random() * 800);

DELETE FROM "таблица_表" WHERE id = 1 + floor(random() * 800);
