//! Whether what bears our names is ours.

use crate::sql::catalogue::STRANGERS;

/// Fails if something in the journal's schema bears code: its name is no number.
pub(crate) fn no_code() -> String {
    format!(
        "SELECT CASE WHEN bears_code THEN object::int END FROM ({STRANGERS}) AS found (object, \
         why, remedy, bears_code)"
    )
}

/// Runs a statement on the journal under its lock, after the proof that the journal bears no code.
pub(crate) fn with_journal(is_write: bool, statement: &str) -> String {
    let mode = if is_write { "ROW EXCLUSIVE" } else { "ACCESS SHARE" };
    let proof = no_code();
    format!("LOCK TABLE ONLY altergeist.journal IN {mode} MODE;\n{proof};\n{statement}")
}

/// Keeps the journal from being changed by others, as writing a row does.
pub(crate) const LOCK_JOURNAL: &str = "LOCK TABLE ONLY altergeist.journal IN ROW EXCLUSIVE MODE";

/// Why a schema for shadows or old tables is not to be used, and what mends it.
pub(crate) const STRANGER_SCHEMA: &str = "
    SELECT 'it belongs to role ' || quote_ident(pg_get_userbyid(n.nspowner)),
           format('run as that role; or drop the schema if nobody needs what is in it; or, if you trust what is in it, \
                   ALTER SCHEMA %I OWNER TO %I', n.nspname, current_user)
    FROM pg_namespace n JOIN pg_roles r ON r.oid = n.nspowner
    WHERE n.nspname = $1 AND r.rolname <> current_user AND NOT r.rolsuper AND NOT pg_has_role(r.oid, current_user, 'MEMBER')
    UNION ALL
    SELECT 'everybody may put objects into it', format('REVOKE CREATE ON SCHEMA %I FROM PUBLIC', n.nspname)
    FROM pg_namespace n CROSS JOIN LATERAL aclexplode(n.nspacl) a
    WHERE n.nspname = $1 AND a.privilege_type = 'CREATE' AND a.grantee = 0";

/// Triggers, rules and policies on a table but for the guard of ours: which, and what takes each
/// away.
pub(crate) const CODE_ON: &str = "
    SELECT format('trigger %I', tgname), format('DROP TRIGGER %I ON %s', tgname, tgrelid::regclass)
    FROM pg_trigger t
    WHERE tgrelid = $1 AND NOT tgisinternal
      AND NOT EXISTS (SELECT FROM pg_proc p JOIN pg_class c ON c.relnamespace = p.pronamespace
                      WHERE c.oid = $1 AND p.oid = t.tgfoid AND t.tgname = 'altergeist_touched' AND pg_has_role(p.proowner, 'USAGE'))
    UNION ALL
    SELECT format('rule %I', rulename), format('DROP RULE %I ON %s', rulename, ev_class::regclass) FROM pg_rewrite WHERE ev_class = $1
    UNION ALL
    SELECT format('policy %I', polname), format('DROP POLICY %I ON %s', polname, polrelid::regclass) FROM pg_policy WHERE polrelid = $1
    ORDER BY 1";

/// Makes those who make or drop schemas of ours in this database wait for each other until the
/// transaction ends. Nobody holds it for long, so it may be waited for longer than a lock on the
/// user's tables.
pub(crate) const SERIALISE: &str = "
    WITH patience AS MATERIALIZED (
        SELECT current_setting('lock_timeout') AS before, set_config('lock_timeout', '10s', true) AS now),
    taken AS MATERIALIZED (SELECT before, pg_advisory_xact_lock(4279108216735011943) IS NULL AS done FROM patience)
    SELECT set_config('lock_timeout', before, true), done FROM taken";

/// Keeps the schemas of ours in this database from being made or dropped until the transaction
/// ends.
pub(crate) const KEEP_SCHEMAS: &str = "SELECT pg_advisory_xact_lock_shared(4279108216735011943)";

/// The tables of the journal's schema that bear the names of ours, by their names in full.
pub(crate) const JOURNAL_TABLES_THERE: &str = "
    SELECT c.oid, c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'altergeist' AND c.relname IN ('journal', 'heartbeat', 'whole', 'orders', 'history')";

/// Takes from everybody but its owner what default privileges have given on an object of ours:
/// statements. Who may write orders is the administrator's to say.
pub(crate) const STRIP_PRIVILEGES: &str = "
    SELECT format('REVOKE ALL ON SCHEMA %I FROM %s', n.nspname, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END)
    FROM pg_namespace n CROSS JOIN LATERAL aclexplode(n.nspacl) a
    WHERE n.nspname = 'altergeist' AND n.nspowner = to_regrole(quote_ident(current_user)) AND a.grantee <> n.nspowner AND a.privilege_type = 'CREATE'
    UNION
    SELECT format('REVOKE INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER ON %s FROM %s', c.oid::regclass,
                  CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace CROSS JOIN LATERAL aclexplode(c.relacl) a
    WHERE n.nspname = 'altergeist' AND c.relkind = 'r' AND c.relowner = to_regrole(quote_ident(current_user))
      AND c.relname NOT IN ('orders', 'history') AND a.grantee <> c.relowner AND a.privilege_type <> 'SELECT'";
