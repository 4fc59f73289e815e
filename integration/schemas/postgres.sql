-- A schema that has everything that can hang on a table. The tests change every table of it without changing anything, with
-- writers at work, and demand that pg_dump says the same afterwards, byte by byte. What only one version has is in a file
-- of its own beside this one.
CREATE ROLE app;
CREATE ROLE clerk;
CREATE ROLE auditor;
CREATE ROLE keeper;
GRANT CREATE, CONNECT ON DATABASE app TO keeper;

CREATE SCHEMA shop;
CREATE SCHEMA "Odd Names";
GRANT USAGE ON SCHEMA shop TO app, clerk, auditor;
GRANT USAGE, CREATE ON SCHEMA shop TO keeper;

-- Privileges no table of this schema has by itself.
ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO auditor;
ALTER DEFAULT PRIVILEGES GRANT USAGE ON SEQUENCES TO auditor;

CREATE TYPE shop.state AS ENUM ('new', 'paid', 'sent');
CREATE TYPE shop.money_range AS RANGE (subtype = numeric);
CREATE TYPE shop.address AS (street text, town text);
CREATE DOMAIN shop.email AS text CHECK (VALUE LIKE '%@%');
CREATE COLLATION shop.folded (provider = libc, locale = 'C');
CREATE SEQUENCE shop.shared_numbers INCREMENT 7 CACHE 5;

CREATE FUNCTION shop.touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RETURN coalesce(NEW, OLD);
END
$$;
CREATE FUNCTION shop.shorten(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT left($1, 8)';

CREATE TABLE shop.customers (
    id int PRIMARY KEY,
    name text NOT NULL,
    mail shop.email,
    lives_at shop.address,
    CONSTRAINT customers_mail_key UNIQUE (mail) DEFERRABLE INITIALLY DEFERRED
);
INSERT INTO shop.customers SELECT i, 'c' || i, (i || '@example.org')::shop.email, ROW('s' || i, 't')::shop.address FROM generate_series(1, 200) i;
COMMENT ON TABLE shop.customers IS 'who buys; it''s "them"';
COMMENT ON COLUMN shop.customers.mail IS E'a\nb \\ c';

CREATE TABLE shop.orders (
    id bigint GENERATED ALWAYS AS IDENTITY (START WITH 1000 INCREMENT BY 3 CACHE 2) PRIMARY KEY,
    gone int,
    no bigserial,
    number bigint DEFAULT nextval('shop.shared_numbers'),
    customer int NOT NULL CONSTRAINT orders_customer_fk REFERENCES shop.customers ON UPDATE CASCADE ON DELETE CASCADE,
    parent bigint CONSTRAINT orders_parent_fk REFERENCES shop.orders ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED,
    state shop.state NOT NULL DEFAULT 'new',
    note text COLLATE "C",
    nick text COLLATE shop.folded,
    total numeric(12, 2) CONSTRAINT total_is_positive CHECK (total > 0),
    net numeric GENERATED ALWAYS AS (total / 1.2) STORED,
    made_at timestamptz NOT NULL DEFAULT now(),
    during tstzrange,
    tags text[] DEFAULT '{}'::text[],
    extra jsonb DEFAULT '{"a": [1, 2]}'
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05, toast.autovacuum_enabled = false);
ALTER TABLE shop.orders DROP COLUMN gone;
ALTER SEQUENCE shop.orders_no_seq MAXVALUE 900000000 CYCLE;
COMMENT ON SEQUENCE shop.orders_id_seq IS 'the numbers';
GRANT SELECT ON SEQUENCE shop.orders_id_seq TO app;
INSERT INTO shop.orders (customer, note, nick, total, during)
    SELECT 1 + i % 200, 'note ' || i, 'Nick' || i, i, tstzrange(now(), now() + make_interval(mins => i)) FROM generate_series(1, 2000) i;
UPDATE shop.orders SET parent = id - 3 WHERE id > 5000;
SET CONSTRAINTS ALL IMMEDIATE;
ALTER TABLE shop.orders ALTER COLUMN note SET STORAGE EXTERNAL, ALTER COLUMN extra SET COMPRESSION pglz,
    ALTER COLUMN note SET STATISTICS 300, ALTER COLUMN customer SET (n_distinct = -0.5);
ALTER TABLE shop.orders ADD CONSTRAINT late_check CHECK (total < 1000) NOT VALID;
ALTER TABLE shop.orders ADD CONSTRAINT late_fk FOREIGN KEY (customer) REFERENCES shop.customers NOT VALID;
ALTER TABLE shop.orders ADD CONSTRAINT orders_no_key UNIQUE (no) INCLUDE (state) WITH (fillfactor = 70);
ALTER TABLE shop.orders ADD CONSTRAINT orders_nick_excl EXCLUDE USING btree (nick WITH =) WHERE (state = 'new') DEFERRABLE;
CREATE INDEX orders_note ON shop.orders (note text_pattern_ops DESC NULLS LAST) INCLUDE (total) WHERE state <> 'sent';
CREATE INDEX orders_short ON shop.orders (shop.shorten(note), lower(nick));
CREATE INDEX orders_tags ON shop.orders USING gin (tags) WITH (fastupdate = off);
CREATE INDEX orders_extra ON shop.orders USING gin (extra jsonb_path_ops);
CREATE INDEX orders_during ON shop.orders USING gist (during);
CREATE INDEX orders_made ON shop.orders USING brin (made_at) WITH (pages_per_range = 8);
CREATE INDEX orders_hash ON shop.orders USING hash (customer);
ALTER INDEX shop.orders_short ALTER COLUMN 1 SET STATISTICS 500;
ALTER INDEX shop.orders_hash DEPENDS ON EXTENSION plpgsql;
COMMENT ON INDEX shop.orders_note IS 'by note';
COMMENT ON CONSTRAINT total_is_positive ON shop.orders IS 'of course';
COMMENT ON CONSTRAINT orders_no_key ON shop.orders IS 'once';
COMMENT ON CONSTRAINT orders_parent_fk ON shop.orders IS 'to itself';
ALTER TABLE shop.orders CLUSTER ON orders_no_key;
CREATE STATISTICS shop.orders_note_state (ndistinct, mcv) ON note, state FROM shop.orders;
CREATE STATISTICS "Odd Names"."orders numbers" ON (total * 2), (lower(nick)) FROM shop.orders;
ALTER STATISTICS shop.orders_note_state SET STATISTICS 77;
COMMENT ON STATISTICS shop.orders_note_state IS 'they go together';

CREATE TABLE shop.items (
    id bigint PRIMARY KEY,
    order_id bigint NOT NULL,
    price numeric,
    CONSTRAINT items_order_fk FOREIGN KEY (order_id) REFERENCES shop.orders ON DELETE CASCADE DEFERRABLE
);
INSERT INTO shop.items SELECT i, 1000 + 3 * (i % 2000), i FROM generate_series(1, 3000) i;
COMMENT ON CONSTRAINT items_order_fk ON shop.items IS 'child''s';
ALTER TABLE shop.items ADD CONSTRAINT items_order_too FOREIGN KEY (order_id) REFERENCES shop.orders NOT VALID;
ALTER TABLE shop.items REPLICA IDENTITY FULL;
ALTER TABLE shop.items SET (autovacuum_enabled = false);

-- Triggers.
CREATE TRIGGER orders_touch BEFORE UPDATE OF note, state ON shop.orders FOR EACH ROW
    WHEN (old.note IS DISTINCT FROM new.note) EXECUTE FUNCTION shop.touch();
CREATE TRIGGER orders_count AFTER INSERT ON shop.orders REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION shop.touch();
CREATE TRIGGER orders_off AFTER DELETE ON shop.orders FOR EACH ROW EXECUTE FUNCTION shop.touch('a', 'b''c');
CREATE TRIGGER orders_always AFTER DELETE ON shop.orders FOR EACH ROW EXECUTE FUNCTION shop.touch();
CREATE TRIGGER orders_replica BEFORE TRUNCATE ON shop.orders FOR EACH STATEMENT EXECUTE FUNCTION shop.touch();
CREATE CONSTRAINT TRIGGER orders_later AFTER UPDATE ON shop.orders DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION shop.touch();
ALTER TABLE shop.orders DISABLE TRIGGER orders_off, ENABLE ALWAYS TRIGGER orders_always,
    ENABLE REPLICA TRIGGER orders_replica;
COMMENT ON TRIGGER orders_touch ON shop.orders IS 'touch';
ALTER TRIGGER orders_count ON shop.orders DEPENDS ON EXTENSION plpgsql;

-- Rules.
CREATE RULE orders_keep AS ON DELETE TO shop.orders WHERE old.id = 7 DO INSTEAD NOTHING;
CREATE RULE orders_log AS ON UPDATE TO shop.orders WHERE old.id = -1
    DO ALSO (UPDATE shop.items SET price = 1 WHERE order_id = new.id; DELETE FROM shop.items WHERE id = -2);
ALTER TABLE shop.orders DISABLE RULE orders_keep, ENABLE ALWAYS RULE orders_log;
COMMENT ON RULE orders_log ON shop.orders IS 'both';

-- Row security, here and with an eye on the table from elsewhere.
ALTER TABLE shop.orders ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY orders_read ON shop.orders FOR SELECT TO app, clerk USING (total > 10);
CREATE POLICY orders_write ON shop.orders AS RESTRICTIVE FOR UPDATE USING (true) WITH CHECK (state <> 'sent'::shop.state);
COMMENT ON POLICY orders_read ON shop.orders IS 'not the small ones';
CREATE TABLE shop.watched (id int PRIMARY KEY, order_id bigint);
INSERT INTO shop.watched SELECT i, 1000 + 3 * i FROM generate_series(1, 50) i;
ALTER TABLE shop.watched ENABLE ROW LEVEL SECURITY;
CREATE POLICY watched_mine ON shop.watched
    USING (EXISTS (SELECT FROM shop.orders o WHERE o.id = order_id AND o.note = CURRENT_USER));
CREATE RULE watched_note AS ON INSERT TO shop.watched DO ALSO UPDATE shop.orders SET note = 'seen' WHERE id = new.order_id;

-- Views.
CREATE VIEW shop.big_orders WITH (security_barrier = true) AS
    SELECT id, customer, note, total, state FROM shop.orders WHERE total > 5 WITH CASCADED CHECK OPTION;
ALTER VIEW shop.big_orders ALTER COLUMN state SET DEFAULT 'paid';
COMMENT ON VIEW shop.big_orders IS 'the big ones';
COMMENT ON COLUMN shop.big_orders.total IS 'how big';
GRANT SELECT, UPDATE (note) ON shop.big_orders TO clerk;
ALTER VIEW shop.big_orders OWNER TO keeper;
GRANT SELECT, INSERT, UPDATE, DELETE ON shop.orders, shop.customers TO keeper;
CREATE VIEW shop.named_orders AS SELECT b.*, c.name AS "Who" FROM shop.big_orders b JOIN shop.customers c ON c.id = b.customer;
CREATE VIEW shop.per_customer AS
    SELECT c.id, c.name, count(o) AS orders, row_to_json(c) AS whole FROM shop.customers c LEFT JOIN shop.orders o ON o.customer = c.id
    GROUP BY c.id;
CREATE RULE per_customer_insert AS ON INSERT TO shop.per_customer
    DO INSTEAD INSERT INTO shop.customers (id, name) VALUES (new.id, new.name);
CREATE TRIGGER named_instead INSTEAD OF UPDATE ON shop.named_orders FOR EACH ROW EXECUTE FUNCTION shop.touch();

-- Functions whose bodies the server keeps as trees.
CREATE FUNCTION shop.total_of(which bigint) RETURNS numeric LANGUAGE sql STABLE COST 7
    BEGIN ATOMIC SELECT total FROM shop.orders WHERE id = which; END;
GRANT EXECUTE ON FUNCTION shop.total_of TO clerk;
CREATE PROCEDURE shop.pay(which bigint) LANGUAGE sql
    BEGIN ATOMIC UPDATE shop.orders SET state = 'paid' WHERE id = which; END;

-- Privileges by several people, in an order of their own.
REVOKE ALL ON shop.orders FROM auditor;
GRANT SELECT ON shop.orders TO app WITH GRANT OPTION;
GRANT UPDATE (note, state), SELECT (id) ON shop.orders TO clerk;
GRANT INSERT, TRIGGER ON shop.orders TO PUBLIC;
SET ROLE app;
GRANT SELECT ON shop.orders TO clerk;
RESET ROLE;
GRANT REFERENCES ON shop.orders TO auditor;
REVOKE TRUNCATE ON shop.items FROM CURRENT_USER;

-- Publications.
CREATE PUBLICATION everything_sold FOR TABLE shop.orders, shop.items;
CREATE PUBLICATION inserts_only FOR TABLE shop.customers WITH (publish = 'insert');

-- Somebody else's table.
CREATE TABLE shop.kept (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), order_id bigint REFERENCES shop.orders, what text);
INSERT INTO shop.kept (what) SELECT 'w' || i FROM generate_series(1, 100) i;
ALTER TABLE shop.kept OWNER TO keeper;

-- Identities of every kind.
CREATE TABLE shop.by_index (a int NOT NULL, b text NOT NULL, c int, CONSTRAINT by_index_ab UNIQUE (a, b));
INSERT INTO shop.by_index SELECT i, 'b' || i, i FROM generate_series(1, 300) i;
ALTER TABLE shop.by_index REPLICA IDENTITY USING INDEX by_index_ab;
CREATE TABLE shop.by_default (id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, v text);
CREATE TABLE shop.empty_one (id int PRIMARY KEY);

-- Names that must be quoted, and as long as they can be.
CREATE TABLE "Odd Names"."Select" (
    "Id" int CONSTRAINT "the ""key""" PRIMARY KEY,
    "a column with a name as long as the server will ever let it be!" text,
    "Where" bigserial
);
INSERT INTO "Odd Names"."Select" SELECT i, 'x' FROM generate_series(1, 10) i;
CREATE INDEX "an index with a name as long as the server will ever let it be!"
    ON "Odd Names"."Select" ("a column with a name as long as the server will ever let it be!");
CREATE VIEW "Odd Names"."from" AS SELECT "Id" AS "ID" FROM "Odd Names"."Select";
CREATE TRIGGER "on" BEFORE UPDATE ON "Odd Names"."Select" FOR EACH ROW EXECUTE FUNCTION shop.touch();

-- Unique over nothing but an expression, operator classes of extensions, and columns of their types.
CREATE EXTENSION pg_trgm;
CREATE EXTENSION btree_gin;
CREATE EXTENSION hstore;
CREATE EXTENSION ltree;
CREATE EXTENSION citext;
CREATE TABLE shop.search (id int PRIMARY KEY, word varchar(40), path ltree, tags hstore, name citext UNIQUE, kind int);
INSERT INTO shop.search SELECT i, 'w' || i, ('a.b' || i)::ltree, hstore('k', i::text), 'N' || i, i % 5 FROM generate_series(1, 100) i;
CREATE UNIQUE INDEX search_lower ON shop.search (lower(word));
CREATE INDEX search_trgm ON shop.search USING gin (word gin_trgm_ops);
CREATE INDEX search_like ON shop.search USING gist (word gist_trgm_ops (siglen = 32));
CREATE INDEX search_path ON shop.search USING gist (path);
CREATE INDEX search_tags ON shop.search USING gin (tags, kind);

-- Functions that take or give rows of a table are called after its type.
CREATE FUNCTION shop.best_customers(lowest int) RETURNS SETOF shop.customers LANGUAGE plpgsql SECURITY DEFINER SET work_mem = '8MB' AS $$
BEGIN
    RETURN QUERY SELECT * FROM shop.customers WHERE id > lowest;
END
$$;
COMMENT ON FUNCTION shop.best_customers IS 'who buys most';
ALTER FUNCTION shop.best_customers OWNER TO keeper;
REVOKE ALL ON FUNCTION shop.best_customers FROM PUBLIC;
GRANT EXECUTE ON FUNCTION shop.best_customers TO clerk, app WITH GRANT OPTION;
CREATE FUNCTION shop.shout(shop.customers) RETURNS text LANGUAGE sql STABLE AS 'SELECT upper($1.name)';
CREATE PROCEDURE shop.drop_all(shop.customers[], text DEFAULT 'x') LANGUAGE plpgsql AS 'BEGIN DELETE FROM shop.nothing; END';

-- Materialized views: over tables, over one another, under a view; with rows and without.
CREATE MATERIALIZED VIEW shop.sums WITH (fillfactor = 60) AS
    SELECT customer, sum(total) AS total, count(o) AS orders FROM shop.orders o GROUP BY customer;
CREATE UNIQUE INDEX sums_customer ON shop.sums (customer) INCLUDE (total);
CREATE INDEX sums_total ON shop.sums (total DESC);
ALTER MATERIALIZED VIEW shop.sums CLUSTER ON sums_total;
ALTER MATERIALIZED VIEW shop.sums ALTER COLUMN total SET STATISTICS 200;
COMMENT ON MATERIALIZED VIEW shop.sums IS 'added up';
COMMENT ON COLUMN shop.sums.total IS 'how much';
COMMENT ON INDEX shop.sums_total IS 'by how much';
CREATE STATISTICS shop.sums_both ON customer, total FROM shop.sums;
GRANT SELECT ON shop.sums TO clerk;
CREATE MATERIALIZED VIEW "Odd Names"."Top Sums" AS
    SELECT s.*, c.name FROM shop.sums s JOIN shop.customers c ON c.id = s.customer WHERE s.total > 100;
CREATE MATERIALIZED VIEW shop.not_yet AS SELECT c.id, c.name FROM shop.customers c JOIN shop.sums s ON s.customer = c.id WITH NO DATA;
ALTER MATERIALIZED VIEW shop.not_yet OWNER TO keeper;
CREATE VIEW shop.best_sums WITH (security_barrier) AS SELECT * FROM shop.sums WHERE total > 1000;
CREATE FUNCTION shop.sum_of(shop.sums) RETURNS numeric LANGUAGE sql STABLE AS 'SELECT $1.total';

-- Partitions, of every kind and two deep, with foreign keys out and in, a default, an index, a trigger and a rule of their own.
CREATE TABLE shop.events (
    id bigint NOT NULL,
    at date NOT NULL,
    customer int REFERENCES shop.customers ON DELETE CASCADE,
    note text DEFAULT 'n',
    CONSTRAINT events_note CHECK (note <> 'never'),
    PRIMARY KEY (id, at)
) PARTITION BY RANGE (at);
CREATE INDEX events_customer ON shop.events (customer);
CREATE TABLE shop.events_1 PARTITION OF shop.events (note DEFAULT 'first') FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE shop.events_2 (note text, at date NOT NULL, gone int, customer int, id bigint NOT NULL, CONSTRAINT events_note CHECK (note <> 'never'));
ALTER TABLE shop.events_2 DROP COLUMN gone;
ALTER TABLE shop.events ATTACH PARTITION shop.events_2 FOR VALUES FROM ('2026-02-01') TO (MAXVALUE);
CREATE TABLE shop.events_rest PARTITION OF shop.events DEFAULT;
CREATE TRIGGER events_touch BEFORE UPDATE ON shop.events FOR EACH ROW EXECUTE FUNCTION shop.touch();
ALTER TABLE shop.events_2 DISABLE TRIGGER events_touch;
CREATE TRIGGER events_1_touch AFTER DELETE ON shop.events_1 FOR EACH ROW EXECUTE FUNCTION shop.touch();
CREATE INDEX events_1_note ON shop.events_1 (note) WHERE id > 5;
COMMENT ON INDEX shop.events_1_pkey IS 'the first part''s';
ALTER TABLE shop.events_1 SET (fillfactor = 50);
ALTER TABLE shop.events_1 REPLICA IDENTITY FULL;
GRANT SELECT ON shop.events_1 TO clerk;
INSERT INTO shop.events SELECT i, date '2025-12-20' + i % 80, 1 + i % 100 FROM generate_series(1, 400) i;
CREATE TABLE shop.replies (
    id int PRIMARY KEY,
    event bigint,
    at date,
    CONSTRAINT replies_event FOREIGN KEY (event, at) REFERENCES shop.events ON DELETE CASCADE
);
INSERT INTO shop.replies SELECT i, i, date '2025-12-20' + i % 80 FROM generate_series(1, 200) i;
CREATE VIEW shop.first_events AS SELECT id, note FROM shop.events_1;
CREATE VIEW shop.all_events AS SELECT id, note FROM shop.events;

CREATE TABLE shop.places (region text NOT NULL, id int NOT NULL, name text, PRIMARY KEY (region, id)) PARTITION BY LIST (region);
CREATE TABLE shop.places_north PARTITION OF shop.places FOR VALUES IN ('n', 'north') PARTITION BY HASH (id);
CREATE TABLE shop.places_north_0 PARTITION OF shop.places_north FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE shop.places_north_1 PARTITION OF shop.places_north FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE shop.places_south PARTITION OF shop.places FOR VALUES IN ('s', NULL);
INSERT INTO shop.places SELECT CASE i % 3 WHEN 0 THEN 's' WHEN 1 THEN 'n' ELSE 'north' END, i, 'p' || i FROM generate_series(1, 300) i;

-- Lists over varchar, which the server says in words that it reads as another expression.
CREATE TABLE shop.tickets (
    id int PRIMARY KEY,
    kind varchar(20) NOT NULL DEFAULT 'a' CHECK (kind IN ('a', 'it''s [b]', 'c')),
    state varchar NOT NULL CONSTRAINT tickets_state CHECK (state NOT IN ('x', 'y')),
    is_open boolean GENERATED ALWAYS AS (state IN ('open', 'new')) STORED
);
INSERT INTO shop.tickets (id, kind, state) SELECT i, 'c', 'new' FROM generate_series(1, 100) i;
CREATE INDEX tickets_some ON shop.tickets (id) WHERE kind IN ('a', 'c');
CREATE UNIQUE INDEX tickets_one ON shop.tickets (id) WHERE state IN ('open', 'new');
ALTER TABLE shop.tickets ADD CONSTRAINT tickets_late CHECK (kind IN ('c', 'd')) NOT VALID;
CREATE VIEW shop.open_tickets AS SELECT id, CASE WHEN kind IN ('a', 'c') THEN 1 END AS n FROM shop.tickets WHERE state IN ('open', 'new');
CREATE TRIGGER tickets_touch BEFORE UPDATE ON shop.tickets FOR EACH ROW WHEN (new.state IN ('x', 'z')) EXECUTE FUNCTION shop.touch();
CREATE POLICY tickets_some ON shop.tickets USING (kind IN ('a', 'c'));
CREATE RULE tickets_none AS ON DELETE TO shop.tickets WHERE old.kind IN ('q', 'r') DO INSTEAD NOTHING;
CREATE MATERIALIZED VIEW shop.ticket_kinds AS SELECT kind, count(*) FROM shop.tickets WHERE state IN ('open', 'new') GROUP BY kind;
