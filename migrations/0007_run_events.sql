-- What happened to runs, for readers on other nodes and for those who come back: only of runs that
-- somebody wants to read so. Unlogged: written often, worth nothing once the run is forgotten, and made
-- up from messages and steps where a crash of the server has emptied it.
--
-- There is no foreign key to runs: it would lock and rewrite the run's row with every batch. Deleting a
-- thread deletes these rows in its transaction, and what a late writer adds then goes by age.
create unlogged table run_events (
    run_id       text collate "C" not null,
    -- The lease that published it (0: before any), and its place among what that lease published, from 1.
    token        bigint not null,
    seq          bigint not null,
    -- event: as it happened. notice: for resumable readers alone. retold: what an earlier attempt brought
    -- that was not written down when it died. marker and caught_up: the open turn told from its beginning,
    -- for readers that had to begin anew.
    kind         text not null check (kind in ('event', 'notice', 'retold', 'marker', 'caught_up')),
    -- Whether it is the last of its lease.
    closes       boolean not null,
    -- The frame as v2 shows it, without its id; as v1 does, and with what file search found, where those differ.
    frame        text not null,
    frame_v1     text,
    frame_search text,
    created_at   timestamptz not null default now(),
    primary key (run_id, token, seq)
);

-- What is old enough to be looked at for deletion.
create index run_events_by_age on run_events (created_at);

-- How often somebody asked for a run's events to be written down, 0 for never. Its worker writes them
-- from then on, and with every further asking tells the open turn again from its beginning.
alter table runs add column events_wanted integer not null default 0;
