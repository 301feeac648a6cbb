-- `last_ord` makes the order within a thread strict although the clocks of nodes differ: whoever adds
-- something must bring an `ord` above it, and raises it in the same statement. `active_run_id` makes
-- "is busy" a condition of that statement as well. Neither column is indexed, so that the update stays
-- within the page (HOT); the fill factor leaves the room for it.
create table threads (
    id             text collate "C" primary key,
    project_id     text collate "C" not null references projects on delete cascade,
    ord            uuid not null,
    created_at     timestamptz not null,
    metadata       json not null,
    tool_resources json not null,
    last_ord       uuid not null,
    active_run_id  text collate "C"
) with (fillfactor = 80);

create index threads_by_project on threads (project_id, ord);

create table messages (
    id                text collate "C" primary key,
    project_id        text collate "C" not null,
    thread_id         text collate "C" not null references threads on delete cascade,
    ord               uuid not null,
    created_at        timestamptz not null,
    role              text not null check (role in ('user', 'assistant')),
    status            text not null check (status in ('in_progress', 'incomplete', 'completed')),
    content           json not null,
    attachments       json not null,
    metadata          json not null,
    assistant_id      text collate "C",
    run_id            text collate "C",
    -- The engine's turn within the run that wrote the message; null for messages of a client.
    turn              integer,
    completed_at      timestamptz,
    incomplete_at     timestamptz,
    incomplete_reason text check (incomplete_reason in
        ('content_filter', 'max_tokens', 'run_cancelled', 'run_expired', 'run_failed')),
    check ((status = 'incomplete') = (incomplete_reason is not null))
);

create unique index messages_in_order on messages (thread_id, ord);
-- What a prompt never loses, and what a run without instructions needs: what a user said last.
create index messages_of_users on messages (thread_id, ord) where role = 'user';
create index messages_of_run on messages (thread_id, run_id, ord) where run_id is not null;
-- A turn writes one message at most, however often it is done anew.
create unique index messages_of_turn on messages (run_id, turn) where run_id is not null;
