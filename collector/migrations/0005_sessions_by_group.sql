-- A user's sessions may be divided into groups, and late exchanges may merge or split sessions: see the collector's
-- model/session/timeline.
alter table sessions
    -- Empty: the user as a whole.
    add column group_key       text   not null default '',
    -- Microseconds. Of the first exchange.
    add column opening_timeout bigint not null default 0,
    -- Microseconds. An upper bound for the longest pause within the session.
    add column widest_gap      bigint not null default 0;

-- Of an existing session only an upper bound is known: its whole length.
update sessions set widest_gap = extract(epoch from last_activity - created_at) * 1000000
where external_id is null;

create index sessions_by_group on sessions (user_id, group_key, last_activity) where external_id is null;

-- Pages of sessions, of one user or of all: the latest activity first.
drop index sessions_by_activity;
create index sessions_by_activity on sessions (user_id, last_activity, session_id);
create index sessions_of_all_by_activity on sessions (last_activity, session_id);
