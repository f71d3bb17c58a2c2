-- Compression dictionaries: what the bodies of an endpoint have in common. A dictionary has only fragments that bodies
-- of several users contain, so it does not have to be deleted with any user's data. Only the collector itself reads it:
-- the readers' roles have no privilege on the table.
create table dictionaries (
    id             integer     primary key generated always as identity,
    endpoint       text        not null,
    half           half        not null,
    created_at     timestamptz not null,
    -- Null: in use for new bodies.
    retired_at     timestamptz,
    -- No body that needs it expires later.
    needed_until   timestamptz not null,
    -- Compressed size by original size, of bodies it was not trained with, at the time of training.
    ratio          real        not null,
    -- When it was last evaluated.
    checked_at     timestamptz not null,
    data           bytea       not null
);
alter table dictionaries alter column data set storage external;
-- At most one is in use for each endpoint and half.
create unique index dictionaries_in_use on dictionaries (endpoint, half) where retired_at is null;

alter type body_codec add value 'dictionary';
alter table bodies add column dictionary_id integer;

-- A body that expires with its entry is stored in the entry's row: a row of its own would repeat user, expiry and id,
-- in table and index. Bodies that expire earlier stay in `bodies`.
alter table entries
    add column body          bytea,
    add column body_codec    body_codec,
    add column dictionary_id integer;
-- Bodies are already compressed.
alter table entries alter column body set storage external;
do $$
declare
    partition regclass;
begin
    for partition in select inhrelid from pg_inherits where inhparent = 'entries'::regclass loop
        execute format('alter table %s alter column body set storage external', partition);
    end loop;
end $$;

-- Ids come from one sequence and are unique, so no index has to enforce that, which on a partitioned table it could only
-- with the expiry in it. A session belongs to one user, so its index need not include the user.
alter table entries drop constraint entries_pkey;
create index entries_by_id on entries (id);
alter table bodies drop constraint bodies_pkey;
create index bodies_by_entry on bodies (entry_id);
drop index entries_by_session;
create index entries_by_session on entries (session_id, created_at) where session_id is not null;

-- Compression ratios, for operators. It reads all entries.
create view body_ratios as
select endpoint, half, count(*) as bodies, sum(body_size) as captured_bytes, sum(stored_size) as stored_bytes,
       round(sum(stored_size) / nullif(sum(body_size), 0), 3) as ratio,
       count(dictionary_id) as with_dictionary
from entries
where body_state = 'stored' and not truncated and not body_decoded
group by endpoint, half;
revoke all on body_ratios from public;
