-- A vector store. How many files it has, and in which state, is counted when it is asked for.
create table vector_stores (
    id                 text collate "C" primary key,
    project_id         text collate "C" not null references projects on delete cascade,
    -- What its chunks and terms are filed under.
    number             bigint generated always as identity unique,
    ord                uuid not null,
    created_at         timestamptz not null,
    name               text,
    description        text,
    metadata           json not null default '{}',
    -- So long after it was last active it is expired, and nothing is found in it.
    expires_after_days integer check (expires_after_days between 1 and 365),
    last_active_at     timestamptz not null,
    -- The v1 assistant or thread whose files it holds, which no client has asked for and none is shown.
    owner              text collate "C",
    -- It is deleted: the janitor removes what it holds, and then the row.
    gone               boolean not null default false
);

create unique index vector_stores_in_order on vector_stores (project_id, ord) where not gone and owner is null;
create unique index vector_stores_of_owners on vector_stores (owner) where not gone and owner is not null;
create index vector_stores_gone on vector_stores (number) where gone;

create table vector_store_batches (
    id           text collate "C" primary key,
    store_id     text collate "C" not null references vector_stores on delete cascade,
    created_at   timestamptz not null,
    cancelled_at timestamptz
);

create index vector_store_batches_of_store on vector_store_batches (store_id);

-- A file in a vector store, and the work of making it searchable, which a node leases. A file that was taken out is gone:
-- its row is the place of cursors for a while, and tells the janitor what to remove.
create table vector_store_files (
    -- What its chunks are filed under.
    number         bigint generated always as identity primary key,
    project_id     text collate "C" not null references projects on delete cascade,
    store_id       text collate "C" not null references vector_stores on delete cascade,
    file_id        text collate "C" not null,
    ord            uuid not null,
    created_at     timestamptz not null,
    batch_id       text collate "C" references vector_store_batches on delete set null,
    status         text not null check (status in ('in_progress', 'completed', 'cancelled', 'failed')),
    attributes     json not null default '{}',
    -- Tokens of a chunk at most, and of two neighbours in common.
    chunk_tokens   integer not null check (chunk_tokens between 100 and 4096),
    overlap_tokens integer not null check (overlap_tokens between 0 and chunk_tokens / 2),
    usage_bytes    bigint not null default 0,
    chunks         integer not null default 0,
    -- Words in its chunks.
    words          bigint not null default 0,
    error_code     text check (error_code in ('server_error', 'unsupported_file', 'invalid_file')),
    error_message  text,
    attempt        integer not null default 0,
    lease_owner    text collate "C",
    lease_token    bigint not null default 0,
    lease_until    timestamptz,
    gone           boolean not null default false,
    gone_at        timestamptz,
    check ((status = 'failed') = (error_code is not null)),
    check ((error_code is null) = (error_message is null)),
    check (gone = (gone_at is not null))
);

create unique index vector_store_files_in_store on vector_store_files (store_id, file_id) where not gone;
create unique index vector_store_files_in_order on vector_store_files (store_id, ord) where not gone;
create index vector_store_files_counted on vector_store_files (store_id) include (status, usage_bytes, chunks, words)
    where not gone;
create index vector_store_files_of_batch on vector_store_files (batch_id, ord) where batch_id is not null;
-- For the references: their statements do not say what is gone.
create index vector_store_files_of_store on vector_store_files (store_id);
create index vector_store_files_of_file on vector_store_files (file_id) where not gone;
create index vector_store_files_waiting on vector_store_files (project_id, number)
    where status = 'in_progress' and lease_owner is null and not gone;
create index vector_store_files_leased on vector_store_files (project_id)
    where status = 'in_progress' and lease_owner is not null and not gone;
create index vector_store_files_gone on vector_store_files (store_id, file_id, gone_at) where gone;
create index vector_store_files_to_clear on vector_store_files (gone_at) where gone and chunks > 0;
create index vector_store_files_to_forget on vector_store_files (gone_at) where gone and chunks = 0;
create index vector_store_files_exhausted on vector_store_files (number)
    where status = 'in_progress' and lease_owner is null and not gone and attempt >= 3;

-- What is found: a piece of a file. Terms are hashes of a store and a word, sorted; `counts` has a byte for each, how
-- often the word stands in the piece. One index finds the pieces of one store that have a word.
create table vector_store_chunks (
    number  bigint generated always as identity primary key,
    store   bigint not null,
    file    bigint not null,
    place   integer not null,
    -- Where it begins in the text of the file, in bytes.
    start   bigint not null,
    words   integer not null,
    terms   integer[] not null,
    counts  bytea not null,
    content text not null
);

create unique index vector_store_chunks_of_file on vector_store_chunks (file, place);
create index vector_store_chunks_with_term on vector_store_chunks using gin (terms) with (fastupdate = off);

-- In how many chunks of a store a term stands.
create table vector_store_terms (
    store  bigint not null,
    term   integer not null,
    chunks bigint not null,
    primary key (store, term)
) with (fillfactor = 80);
