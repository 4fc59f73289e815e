UPDATE t SET c = random() WHERE id = 1 + floor(random() * 800);
