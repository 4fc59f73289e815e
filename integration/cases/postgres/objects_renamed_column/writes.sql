UPDATE seen SET note = 'v' || random() WHERE id = 1 + (random() * 999)::int

UPDATE t SET k = k + 1 WHERE id = 1 + (random() * 999)::int

SELECT note_of(7)
