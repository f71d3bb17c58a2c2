-- Entries and bodies are partitioned by the day on which they expire, so that expired data is dropped as whole
-- partitions. 'infinity' means "never expires". There is no default partition: with one, others could not be
-- detached concurrently. The collector creates partitions as they are needed.

create type half as enum ('request', 'response');
create type completion as enum ('complete', 'client_aborted', 'upstream_reset', 'local_reply', 'timeout');
create type body_state as enum ('stored', 'empty', 'dropped');
create type body_codec as enum ('identity', 'zstd');
create type key_role as enum ('ingest', 'user', 'readonly', 'admin');

create sequence entry_ids as bigint;

create table entries (
    id               bigint      not null,
    expires_at       timestamptz not null,
    created_at       timestamptz not null,
    started_at       timestamptz not null,
    ended_at         timestamptz not null,
    body_size        bigint      not null,
    stored_size      integer     not null,
    half             half        not null,
    completion       completion  not null,
    body_state       body_state  not null,
    status           smallint,
    truncated        boolean     not null,
    exchange_id      uuid        not null,
    session_id       uuid,
    user_id          text        not null,
    endpoint         text        not null,
    method           text        not null,
    path             text        not null,
    query            text,
    host             text,
    route            text,
    content_type     text,
    content_encoding text,
    request_id       text,
    traceparent      text,
    body_xxh3        bytea,
    metadata         jsonb       not null,
    primary key (user_id, id, expires_at)
) partition by range (expires_at);

create index entries_by_time on entries (user_id, created_at, id);
create index entries_by_endpoint on entries (user_id, endpoint, created_at, id);
create index entries_by_session on entries (user_id, session_id, created_at, id) where session_id is not null;
create index entries_by_exchange on entries (user_id, exchange_id);

create table entries_forever partition of entries for values from ('infinity') to (maxvalue);

create table bodies (
    entry_id   bigint      not null,
    expires_at timestamptz not null,
    codec      body_codec  not null,
    user_id    text        not null,
    data       bytea       not null,
    primary key (user_id, entry_id, expires_at)
) partition by range (expires_at);

-- Bodies are already compressed.
alter table bodies alter column data set storage external;

create table bodies_forever partition of bodies for values from ('infinity') to (maxvalue);

-- A batch is stored if and only if its id is here. A batch that is sent again is acknowledged, and not stored again.
create table ingest_ledger (
    batch_id    uuid        primary key,
    received_at timestamptz not null,
    records     integer     not null
);
create index ingest_ledger_by_time on ingest_ledger (received_at);

-- Records that were rejected. The valid records of the same batch are stored.
create table rejected_records (
    batch_id    uuid        not null,
    position    integer     not null,
    received_at timestamptz not null,
    reason      text        not null,
    header      bytea       not null,
    body        bytea       not null,
    primary key (batch_id, position)
);

-- Losses that producers reported.
create table gaps (
    batch_id    uuid        not null,
    received_at timestamptz not null,
    reason      text        not null,
    records     bigint      not null,
    bytes       bigint      not null,
    first_at    timestamptz not null,
    last_at     timestamptz not null
);
create index gaps_by_time on gaps (last_at);

create table sessions (
    user_id       text        not null,
    session_id    uuid        not null,
    external_id   text,
    created_at    timestamptz not null,
    last_activity timestamptz not null,
    primary key (user_id, session_id)
);
create unique index sessions_by_external_id on sessions (user_id, external_id) where external_id is not null;
create index sessions_by_activity on sessions (user_id, last_activity);

create table api_keys (
    key_id       uuid        primary key,
    key_sha256   bytea       not null unique,
    name         text        not null,
    user_id      text        not null,
    role         key_role    not null,
    created_at   timestamptz not null,
    expires_at   timestamptz,
    last_used_at timestamptz,
    revoked_at   timestamptz
);
