-- What a record tells beside its body. Everything here can be absent, so that rows of before, and
-- rows of a collector that does not know these columns yet, stay valid.

-- Postgres forbids to use a new label in the transaction that adds it; nothing below does.
alter type body_state add value 'not_captured';
alter type body_state add value 'unreadable';

alter table entries
    -- When the body goes before its entry. It is the key of the body's partition, so that the join
    -- finds the one that holds it; null: the body goes with its entry.
    add column body_expires_at  timestamptz,
    -- Of the body's bytes as they came, before they are packed. Null: no body is stored.
    add column body_sha256      bytea,
    add column body_decoded     boolean not null default false,
    -- Rule to count.
    add column redactions       jsonb,
    -- Lists of [name, value], because order and duplicates matter.
    add column headers          jsonb,
    add column trailers         jsonb,
    -- The proxy's account of the response.
    add column response_flags   bigint not null default 0,
    add column response_details text,
    add column upstream_host    text,
    add column workload         text;
