-- The foreign keys of table $1 and to it, as they are tried on its clone $2.$3: the object, whether it is the table's own, its columns, the
-- statements, and which columns of the table it compares. A stand-in of the same types takes the place of the other table, which is not touched.
WITH keys AS (
    SELECT k.*, 'foreign key ' || quote_ident(k.conname) || ' on ' || k.conrelid::regclass AS object,
           format('%I.%I', $2::text, $3::text) AS clone, format('%I.altergeist_stand_in', $2::text) AS stand_in,
           CASE WHEN k.conrelid = $1 THEN k.confrelid ELSE k.conrelid END AS other,
           CASE WHEN k.conrelid = $1 THEN k.confkey ELSE k.conkey END AS others_columns
    FROM pg_constraint k
    WHERE k.contype = 'f' AND k.conparentid = 0 AND $1 IN (k.conrelid, k.confrelid)
      AND NOT coalesce((to_jsonb(k) ->> 'conperiod')::bool, false)
), spelled AS (
    SELECT k.*,
           (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY u.n) FROM unnest(k.conkey) WITH ORDINALITY AS u(number, n)
            JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.number) AS own,
           (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY u.n) FROM unnest(k.confkey) WITH ORDINALITY AS u(number, n)
            JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.number) AS parents,
           (SELECT string_agg(DISTINCT format('%I %s%s', a.attname, format_type(a.atttypid, a.atttypmod),
                                              ' COLLATE ' || nullif(a.attcollation, 0)::regcollation), ', ')
            FROM pg_attribute a WHERE a.attrelid = k.other AND a.attnum = ANY (k.others_columns)) AS definitions
    FROM keys k
)
SELECT k.object, k.conrelid = $1,
       ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)),
       CASE WHEN k.conrelid = k.confrelid
                THEN format('ALTER TABLE %s ADD FOREIGN KEY (%s) REFERENCES %s (%s)', k.clone, k.own, k.clone, k.parents)
            WHEN k.conrelid = $1
                THEN format('CREATE TABLE %s (%s, UNIQUE (%s)); ALTER TABLE %s ADD FOREIGN KEY (%s) REFERENCES %s (%s)',
                            k.stand_in, k.definitions, k.parents, k.clone, k.own, k.stand_in, k.parents)
            ELSE format('CREATE TABLE %s (%s); ALTER TABLE %s ADD FOREIGN KEY (%s) REFERENCES %s (%s)',
                        k.stand_in, k.definitions, k.stand_in, k.own, k.clone, k.parents)
       END,
       ARRAY(SELECT a.attname::text FROM pg_attribute a
             WHERE a.attrelid = $1 AND ((k.conrelid = $1 AND a.attnum = ANY (k.conkey)) OR (k.confrelid = $1 AND a.attnum = ANY (k.confkey)))
             ORDER BY a.attnum)
FROM spelled k
ORDER BY k.object
