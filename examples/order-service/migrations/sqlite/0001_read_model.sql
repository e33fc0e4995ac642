-- What is asked for, kept by the subscriptions `spend-per-customer` and `revenue-per-month`.
CREATE TABLE spend_per_customer (
    customer TEXT PRIMARY KEY,
    orders INTEGER NOT NULL,
    cds INTEGER NOT NULL,
    cents INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE revenue_per_month (
    month TEXT PRIMARY KEY,
    cents INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
