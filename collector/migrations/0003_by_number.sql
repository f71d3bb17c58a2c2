-- Entries and exchanges are looked up by their number alone: by admins, and when they are deleted. In
-- this order one index serves that and the user's own reads, and grows at its end only, not all over.
alter table entries
    drop constraint entries_pkey,
    add primary key (id, user_id, expires_at);

drop index entries_by_exchange;
create index entries_by_exchange on entries (exchange_id);
