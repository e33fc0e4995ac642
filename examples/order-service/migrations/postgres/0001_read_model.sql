-- What is asked for, kept by the subscriptions `spend-per-customer` and `revenue-per-month`.
CREATE TABLE spend_per_customer (
    customer text COLLATE "C" PRIMARY KEY,
    orders bigint NOT NULL,
    cds bigint NOT NULL,
    cents bigint NOT NULL
);

CREATE TABLE revenue_per_month (
    month text COLLATE "C" PRIMARY KEY,
    cents bigint NOT NULL
);
