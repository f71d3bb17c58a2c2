-- What an access log or a trace names finds its exchange. Hash indexes hold texts of any length, and are smaller than
-- others. The trace's id is taken out of `traceparent` when the entry is written, as row-level security would not use an
-- index on an expression.
alter table entries add column trace_id uuid;
create index entries_by_request_id on entries using hash (request_id) where request_id is not null;
create index entries_by_trace on entries using hash (trace_id) where trace_id is not null;

-- A session is found by its name alone, too: admins ask for those of all users.
create unique index sessions_by_name on sessions (external_id, user_id) where external_id is not null;
drop index sessions_by_external_id;
