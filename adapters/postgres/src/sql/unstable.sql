-- What a view calls that may give another value each time, or in another session: $1 is the view.
-- Each name once, and whether it is certain to change (else it is a function of the user's own that
-- is declared STABLE, which may read other tables).
WITH rule AS (
    SELECT r.ev_action::text AS tree FROM pg_rewrite r WHERE r.ev_class = $1::text::regclass
), called AS (
    SELECT m[1]::oid AS oid
    FROM rule, regexp_matches(tree, ':(?:funcid|opfuncid|aggfnoid|winfnoid) (\d+)', 'g') m
    UNION
    SELECT o.oprcode::oid
    FROM rule, regexp_matches(tree, ':opno (\d+)', 'g') m JOIN pg_operator o ON o.oid = m[1]::oid
)
SELECT 'function ' || p.oid::regprocedure::text,
       p.provolatile = 'v' OR p.pronamespace = 'pg_catalog'::regnamespace
FROM called JOIN pg_proc p ON p.oid = called.oid
WHERE p.provolatile = 'v'
   OR p.pronamespace = 'pg_catalog'::regnamespace
      AND (p.proname IN ('now', 'transaction_timestamp', 'statement_timestamp', 'txid_current',
                         'txid_current_if_assigned', 'txid_current_snapshot', 'pg_current_xact_id',
                         'pg_current_xact_id_if_assigned', 'pg_current_snapshot', 'pg_backend_pid')
           OR p.proname = 'age' AND p.pronargs = 1 AND p.proargtypes[0] <> 'xid'::regtype)
   OR p.pronamespace <> 'pg_catalog'::regnamespace AND p.provolatile = 's'
UNION
SELECT 'the current time or date', true
FROM rule, regexp_matches(tree, '\{SQLVALUEFUNCTION :op (\d+)', 'g') m
WHERE m[1]::int <= 8
ORDER BY 1
