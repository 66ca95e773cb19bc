-- What a careful ledger in SQL does for one payment, as a pgbench script: two balances that must
-- not go below zero, two entries, one transaction. Accounts are drawn uniformly.
\set payer random(1, :accounts)
\set payee random(1, :accounts)
\set amount random(1, 100)
BEGIN;
UPDATE accounts SET balance = balance - :amount::bigint WHERE id = :payer AND balance >= :amount::bigint;
UPDATE accounts SET balance = balance + :amount::bigint WHERE id = :payee;
INSERT INTO entries (account, other, amount) VALUES (:payer, :payee, -(:amount::bigint));
INSERT INTO entries (account, other, amount) VALUES (:payee, :payer, :amount::bigint);
COMMIT;
