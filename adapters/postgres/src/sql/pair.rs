//! What decides how two tables are compared.

/// Whether a table is partitioned, and whether other tables hold rows of it.
pub(crate) const PARTS_OF_TABLE: &str = "
    SELECT c.relkind = 'p', EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = c.oid)
    FROM pg_class c WHERE c.oid = $1";
