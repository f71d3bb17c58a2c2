-- For queries of admins across all users, by time. New rows go to the end of the index.
create index entries_of_all_by_time on entries (created_at, id);

-- Deletions of a user's entries are visible to that user only, as the entries were.
select isolate('deletion_audit');
