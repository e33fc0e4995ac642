-- The two tables of es-entity, as its documentation has them. Its macros read this folder when the program is compiled.
CREATE TABLE accounts (
    id uuid PRIMARY KEY,
    created_at timestamptz NOT NULL
);

CREATE TABLE account_events (
    id uuid NOT NULL REFERENCES accounts (id),
    sequence int NOT NULL,
    event_type varchar NOT NULL,
    event jsonb NOT NULL,
    context jsonb DEFAULT NULL,
    recorded_at timestamptz NOT NULL,
    UNIQUE (id, sequence)
);
