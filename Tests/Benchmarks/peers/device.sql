-- device.sql: pgbench script; one durable device a transaction.
\set r random(1, 9000000000000000)
INSERT INTO device(name, token, doc) VALUES ('dev-' || :client_id || '-' || :r, 'tok' || :r, repeat('x', 320));
