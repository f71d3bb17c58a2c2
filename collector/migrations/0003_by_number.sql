-- Entries and exchanges are looked up by their number alone: by admins, and when they are deleted. In
-- this order one index serves that and the user's own reads, and grows at its end only, not all over.
alter table entries
    drop constraint entries_pkey,
    add primary key (id, user_id, expires_at);

drop index entries_by_exchange;
create index entries_by_exchange on entries (exchange_id);

-- Who deleted what, when, and what allowed it. It outlives the entries, and holds nothing of their content.
create type deletion_reason as enum ('expired', 'forced');

create table deletion_audit (
    deleted_at  timestamptz     not null,
    -- The caller's user and key; null: they had a token instead.
    deleted_by  text            not null,
    key_id      uuid,
    reason      deletion_reason not null,
    entry_id    bigint          not null,
    -- Whose the entry was.
    user_id     text            not null,
    exchange_id uuid            not null,
    half        half            not null,
    endpoint    text            not null,
    created_at  timestamptz     not null,
    expires_at  timestamptz     not null
);
create index deletion_audit_by_time on deletion_audit (deleted_at);
create index deletion_audit_by_user on deletion_audit (user_id, deleted_at);
