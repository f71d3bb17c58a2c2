-- What the bodies of an endpoint have in common is kept once. A dictionary holds only fragments that
-- bodies of several users contain, so no user's deletion touches it. It is read by the collector itself
-- and by no one else: it is in no row-level policy, and the readers' roles have no right to it.
create table dictionaries (
    id             integer     primary key generated always as identity,
    endpoint       text        not null,
    half           half        not null,
    created_at     timestamptz not null,
    -- Null: new bodies are packed with it.
    retired_at     timestamptz,
    -- The last body that is packed with it is gone by then.
    needed_until   timestamptz not null,
    -- Of bodies that it was not made of: bytes packed per byte, when it was made.
    ratio          real        not null,
    -- When that was looked at again.
    checked_at     timestamptz not null,
    data           bytea       not null
);
alter table dictionaries alter column data set storage external;
-- One to pack with for each, at any time.
create unique index dictionaries_in_use on dictionaries (endpoint, half) where retired_at is null;

alter type body_codec add value 'dictionary';
alter table bodies add column dictionary_id integer;

-- A body that goes with its entry lies in its row: a row of its own would repeat whose it is, when it
-- goes and which entry it belongs to, twice. Bodies that go before their entry stay in `bodies`.
alter table entries
    add column body          bytea,
    add column body_codec    body_codec,
    add column dictionary_id integer;
-- The collector compresses, so Postgres need not try again.
alter table entries alter column body set storage external;
do $$
declare
    partition regclass;
begin
    for partition in select inhrelid from pg_inherits where inhparent = 'entries'::regclass loop
        execute format('alter table %s alter column body set storage external', partition);
    end loop;
end $$;

-- Numbers come from one sequence and are given once, so an index need not make sure of it, which it can
-- only with the user and the expiry in it. A session is one user's, so its index need not name them.
alter table entries drop constraint entries_pkey;
create index entries_by_id on entries (id);
alter table bodies drop constraint bodies_pkey;
create index bodies_by_entry on bodies (entry_id);
drop index entries_by_session;
create index entries_by_session on entries (session_id, created_at) where session_id is not null;

-- How well bodies are packed. For operators: it reads all entries.
create view body_ratios as
select endpoint, half, count(*) as bodies, sum(body_size) as captured_bytes, sum(stored_size) as stored_bytes,
       round(sum(stored_size) / nullif(sum(body_size), 0), 3) as ratio,
       count(dictionary_id) as with_dictionary
from entries
where body_state = 'stored' and not truncated and not body_decoded
group by endpoint, half;
revoke all on body_ratios from public;
