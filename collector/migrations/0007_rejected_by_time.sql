-- Rejected records are limited by age and number. Long ones are truncated.
alter table rejected_records add column cut boolean not null default false;
create index rejected_records_by_time on rejected_records (received_at);
