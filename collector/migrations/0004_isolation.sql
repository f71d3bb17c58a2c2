-- Row-level security shows reads one user's rows only, so that a missing condition leaks nothing. Reads set one of
-- two roles for their transaction. Writes are done as the owner of the tables, to whom row-level security does not
-- apply.
--
-- Roles belong to the whole cluster: a migration of another database may have created them, or be creating them now.
do $$
declare
    reader text;
begin
    foreach reader in array array['dossier_read_own', 'dossier_read_all'] loop
        if to_regrole(reader) is null then
            begin
                execute format('create role %I nologin noinherit', reader);
            exception when duplicate_object or unique_violation then
                null;
            end;
        end if;
        if not pg_has_role(current_user, reader,
                           case when current_setting('server_version_num')::int >= 160000 then 'set' else 'member' end) then
            execute format('grant %I to current_user', reader);
        end if;
    end loop;
exception when insufficient_privilege then
    raise exception using errcode = 'insufficient_privilege', message = format(
        'the database user %1$I is not allowed to create the roles that isolate users; as an administrator, run '
        '"create role dossier_read_own nologin; create role dossier_read_all nologin; '
        'grant dossier_read_own, dossier_read_all to %1$I", then try again', current_user);
end $$;

do $$
begin
    execute format('grant usage on schema %I to dossier_read_own, dossier_read_all', current_schema());
end $$;

-- Isolates the rows of a table by its column user_id. Has to be called for every table that the API reads; without it,
-- the API cannot read the table at all. It is idempotent.
create function isolate(shared regclass) returns void language plpgsql as $$
begin
    execute format('alter table %s enable row level security', shared);
    execute format('drop policy if exists read_own on %s', shared);
    execute format('drop policy if exists read_all on %s', shared);
    execute format('create policy read_own on %s for select to dossier_read_own '
                   'using (user_id = current_setting(''dossier.user'', true))', shared);
    execute format('create policy read_all on %s for select to dossier_read_all using (true)', shared);
    execute format('grant select on %s to dossier_read_own, dossier_read_all', shared);
end $$;
revoke all on function isolate(regclass) from public;

select isolate('entries'), isolate('bodies'), isolate('sessions');

-- The policies of a table apply to reads through it. Its partitions have row-level security without a policy: read
-- directly, they show no rows to anyone but their owner.
do $$
declare
    partition regclass;
begin
    for partition in select inhrelid from pg_inherits where inhparent in ('entries'::regclass, 'bodies'::regclass) loop
        execute format('alter table %s enable row level security', partition);
    end loop;
end $$;
