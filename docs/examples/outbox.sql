-- The outbox table of `throughline event relay`, for PostgreSQL. On SQLite: INTEGER PRIMARY KEY AUTOINCREMENT, TEXT,
-- and defaults of your own.
CREATE TABLE outbox (
    number     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,     -- the order
    id         uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),      -- names the event for ever
    type       text NOT NULL,                                       -- such as member.updated
    data       jsonb NOT NULL,                                      -- the fields of the type
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),      -- when it happened; not now(): see the page
    sent_at    timestamptz,                                         -- set by the relay
    refused    text                                                 -- set by the relay: why it is no event
);
CREATE INDEX outbox_waiting ON outbox (number) WHERE sent_at IS NULL AND refused IS NULL;
