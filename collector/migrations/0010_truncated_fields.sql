-- Fields of which the producer recorded only the beginning: a list of their names. Null: none.
alter table entries add column truncated_fields jsonb;
