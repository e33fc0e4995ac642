-- The second version of the spend of customers knows the day of their last order. It is built beside the first one, by the
-- subscription `spend-per-customer@2`, and the view shows the one that is in use.
ALTER TABLE spend_per_customer RENAME TO spend_per_customer_1;

CREATE TABLE spend_per_customer_2 (
    customer TEXT PRIMARY KEY,
    orders INTEGER NOT NULL,
    cds INTEGER NOT NULL,
    cents INTEGER NOT NULL,
    last_order TEXT
) STRICT, WITHOUT ROWID;

CREATE VIEW spend_per_customer AS
SELECT customer, orders, cds, cents, NULL AS last_order FROM spend_per_customer_1;
