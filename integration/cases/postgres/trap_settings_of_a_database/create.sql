DO $$
DECLARE setting text;
BEGIN
    FOREACH setting IN ARRAY ARRAY['DateStyle = ''German, DMY''', 'IntervalStyle = ''sql_standard''', 'TimeZone = ''Asia/Kathmandu''',
        'bytea_output = ''escape''', 'extra_float_digits = -8', 'default_transaction_isolation = ''serializable''',
        'standard_conforming_strings = off', 'idle_in_transaction_session_timeout = ''150ms''', 'client_encoding = ''LATIN1''',
        'row_security = off', 'synchronous_commit = off', 'search_path = hidden, public', 'enable_indexscan = off']
    LOOP
        EXECUTE format('ALTER DATABASE %I SET %s', current_database(), setting);
    END LOOP;
END $$;
CREATE SCHEMA hidden;
CREATE TABLE t (at timestamptz, f float8, b bytea, i interval, v text, n int, PRIMARY KEY (at, f, b, i));
INSERT INTO t SELECT timestamptz '2026-03-29 00:30+00' + i * interval '7 minutes 1 microsecond', 1.0 / i, decode(lpad(to_hex(i), 8, '0'), 'hex'),
                     make_interval(months => -i, days => i, secs => i / 7.0), 'wörd\' || i, i
FROM generate_series(1, 600) i;
