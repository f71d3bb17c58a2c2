-- Rejected records are kept for a while and up to a number; what is long is kept by its beginning.
alter table rejected_records add column cut boolean not null default false;
create index rejected_records_by_time on rejected_records (received_at);
