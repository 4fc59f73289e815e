INSERT INTO "we""ird `na'me` %_x" ("se""lect") VALUES (random() * 100);

UPDATE "we""ird `na'me` %_x" SET "größe 'x'" = random() WHERE id = 1 + floor(random() * 800);

DELETE FROM "we""ird `na'me` %_x" WHERE id = 1 + floor(random() * 800);
