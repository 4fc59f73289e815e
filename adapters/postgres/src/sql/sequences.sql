-- The sequences that belong to columns of table $1: the column, the sequence, and whether it is an identity's own.
SELECT a.attname::text, s.seqrelid::regclass::text, d.deptype = 'i'
FROM pg_depend d
JOIN pg_sequence s ON s.seqrelid = d.objid
JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = $1
  AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')
ORDER BY 1, 2
