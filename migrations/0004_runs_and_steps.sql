-- The run row is the job: there is no second queue whose state could differ from it. It is a snapshot
-- of what the assistant was at creation, so that a change of the assistant changes no run.
--
-- A run is leased by one node at a time. `lease_token` grows with every lease; each write of the
-- engine names it and writes nothing when another node has the run by then.
create table runs (
    id                      text collate "C" primary key,
    project_id              text collate "C" not null,
    thread_id               text collate "C" not null references threads on delete cascade,
    ord                     uuid not null,
    created_at              timestamptz not null,
    assistant_id            text collate "C" not null,
    -- The contract that the creator spoke; it decides how citations are written.
    dialect                 text not null check (dialect in ('v1', 'v2')),

    model                   text not null,
    instructions            text,
    tools                   json not null,
    tool_resources          json not null,
    metadata                json not null,
    temperature             double precision,
    top_p                   double precision,
    max_prompt_tokens       bigint check (max_prompt_tokens > 0),
    max_completion_tokens   bigint check (max_completion_tokens > 0),
    truncation_strategy     json not null,
    tool_choice             json not null,
    response_format         json not null,
    parallel_tool_calls     boolean not null,
    reasoning_effort        text,

    status                  text not null check (status in
        ('queued', 'in_progress', 'requires_action', 'cancelling',
         'cancelled', 'failed', 'completed', 'incomplete', 'expired')),
    -- Whether the run has not ended. The partial indexes below ask for it, and only queries over many runs
    -- do too: a statement by id whose conditions implied an index's predicate would be planned over that
    -- index whenever statistics come from an idle hour, and read every live run.
    live                    boolean not null generated always as
        (status in ('queued', 'in_progress', 'requires_action', 'cancelling')) stored,
    required_action         json,
    last_error_code         text check (last_error_code in ('server_error', 'rate_limit_exceeded', 'invalid_prompt')),
    last_error_message      text,
    incomplete_reason       text check (incomplete_reason in ('max_prompt_tokens', 'max_completion_tokens')),
    started_at              timestamptz,
    -- When a run that is still live by then expires; kept after its end, shown only while it is live.
    expires_at              timestamptz not null,
    cancelled_at            timestamptz,
    failed_at               timestamptz,
    completed_at            timestamptz,
    prompt_tokens           bigint not null default 0,
    completion_tokens       bigint not null default 0,
    cached_tokens           bigint not null default 0,
    reasoning_tokens        bigint not null default 0,
    -- Turns whose model reply is stored whole. Steps and messages of a later turn are what a crash left
    -- unfinished; the next attempt replaces them.
    turns                   integer not null default 0,

    queued_at               timestamptz not null,
    attempt                 integer not null default 0,
    lease_owner             text collate "C",
    lease_token             bigint not null default 0,
    lease_until             timestamptz,

    check ((lease_owner is null) = (lease_until is null)),
    check (lease_owner is null or status in ('queued', 'in_progress', 'cancelling')),
    check ((status = 'requires_action') = (required_action is not null)),
    check ((status = 'failed') <= (last_error_code is not null))
) with (fillfactor = 80);

create unique index runs_in_order on runs (thread_id, ord);
-- One live run per thread is a fact of the schema, not a check in code. That thread_id is not null says
-- nothing; it keeps queries that do not ask for a thread off this index.
create unique index runs_one_live_per_thread on runs (thread_id) where live and thread_id is not null;
-- The queue: what a node claims from.
create index runs_queued on runs (queued_at) where live and status = 'queued' and lease_owner is null;
-- What the heartbeat and the sweeper look at. Not on lease_until: a heartbeat then changes no index.
create index runs_leased on runs (lease_owner) where live and lease_owner is not null;
-- What the sweeper ends: a run with a worker is its worker's to end.
create index runs_expiring on runs (expires_at) where live and lease_owner is null;
create index runs_to_cancel on runs (id) where live and lease_owner is null and status = 'cancelling';

create table run_steps (
    id                 text collate "C" primary key,
    project_id         text collate "C" not null,
    run_id             text collate "C" not null references runs on delete cascade,
    thread_id          text collate "C" not null,
    assistant_id       text collate "C" not null,
    ord                uuid not null,
    created_at         timestamptz not null,
    turn               integer not null,
    type               text not null check (type in ('message_creation', 'tool_calls')),
    status             text not null check (status in ('in_progress', 'cancelled', 'failed', 'completed', 'expired')),
    step_details       json not null,
    -- The calls as the model made them and what it was answered, in their order: id, name, arguments,
    -- output. The next turn repeats them to it word by word; clients see `step_details`, which for hosted
    -- tools is something else.
    model_calls        json not null default '[]',
    metadata           json not null,
    last_error_code    text check (last_error_code in ('server_error', 'rate_limit_exceeded')),
    last_error_message text,
    -- The run's expiry, shown while the step is in progress.
    expires_at         timestamptz not null,
    expired_at         timestamptz,
    cancelled_at       timestamptz,
    failed_at          timestamptz,
    completed_at       timestamptz,
    prompt_tokens      bigint,
    completion_tokens  bigint,
    cached_tokens      bigint,
    reasoning_tokens   bigint,
    check ((prompt_tokens is null) = (completion_tokens is null))
);

create unique index run_steps_in_order on run_steps (run_id, ord);
