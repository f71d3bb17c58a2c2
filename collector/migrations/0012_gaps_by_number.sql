-- Pages of reported losses, the latest first.
alter table gaps add column id bigint generated always as identity;
create unique index gaps_by_id on gaps (id);
