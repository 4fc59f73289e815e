ALTER TABLE t CHANGE c note VARCHAR(120), ADD COLUMN street VARCHAR(90) NOT NULL, ADD COLUMN day DATE, ADD COLUMN n DECIMAL(8, 2), ADD COLUMN word VARCHAR(9) CHARACTER SET latin1;
UPDATE t SET street = IF(LOCATE(',', address) > 0, SUBSTRING_INDEX(address, ',', 1), CONCAT(t.address, ' -- ?')),
    n = ROUND(a / 3, 2), day = CAST(seen AS DATE), word = kind, note = CONCAT(note, '/', b),
    b = SUBSTRING_INDEX(note, '/', 1), a = a + 1;
ALTER TABLE t DROP COLUMN address;
