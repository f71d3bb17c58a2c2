-- Entries and exchanges are looked up by id alone: by admins, and when they are deleted. In this order of columns,
-- one index serves these and the user's own reads, and new rows go to its end.
alter table entries
    drop constraint entries_pkey,
    add primary key (id, user_id, expires_at);

drop index entries_by_exchange;
create index entries_by_exchange on entries (exchange_id);

-- Who deleted which entry, when and why. Rows outlive the entries, and have nothing of their content.
create type deletion_reason as enum ('expired', 'forced');

create table deletion_audit (
    deleted_at  timestamptz     not null,
    -- The caller's user and key. Null: the caller had a token.
    deleted_by  text            not null,
    key_id      uuid,
    reason      deletion_reason not null,
    entry_id    bigint          not null,
    -- The user of the entry.
    user_id     text            not null,
    exchange_id uuid            not null,
    half        half            not null,
    endpoint    text            not null,
    created_at  timestamptz     not null,
    expires_at  timestamptz     not null
);
create index deletion_audit_by_time on deletion_audit (deleted_at);
create index deletion_audit_by_user on deletion_audit (user_id, deleted_at);
