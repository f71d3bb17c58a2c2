-- What an admin asks of all users at once is answered by time too. The index grows at its end only.
create index entries_of_all_by_time on entries (created_at, id);

-- Whose entries were deleted is as much a user's own as the entries were.
select isolate('deletion_audit');
