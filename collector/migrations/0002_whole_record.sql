-- The rest of a record, besides its body. Every column is nullable or has a default, so that existing rows, and rows of
-- a collector that does not know these columns yet, stay valid.

-- A new label cannot be used in the transaction that adds it; nothing below does.
alter type body_state add value 'not_captured';
alter type body_state add value 'unreadable';

alter table entries
    -- Null: the body expires with its entry. Else when it expires, which tells the partition of `bodies` that has it.
    add column body_expires_at  timestamptz,
    -- Of the original body, before compression. Null: no body is stored.
    add column body_sha256      bytea,
    add column body_decoded     boolean not null default false,
    -- Counts by rule.
    add column redactions       jsonb,
    -- Lists of [name, value], because order and duplicates matter.
    add column headers          jsonb,
    add column trailers         jsonb,
    -- What the proxy reports about the response.
    add column response_flags   bigint not null default 0,
    add column response_details text,
    add column upstream_host    text,
    add column workload         text;
