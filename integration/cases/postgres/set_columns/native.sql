ALTER TABLE t RENAME COLUMN c TO note;
ALTER TABLE t ADD COLUMN street text NOT NULL DEFAULT '', ADD COLUMN day date, ADD COLUMN n numeric(6, 2);
UPDATE t SET street = coalesce(substring(address FROM '^([^,]*),'), t.address || ' -- ?'), note = note || '/' || b,
    b = note, a = a + 1, day = seen::date, n = (j ->> 'n')::numeric / 3;
ALTER TABLE t DROP COLUMN address;
