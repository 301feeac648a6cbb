-- A file is its row and its blobs, in the order of `number`: one for a plain upload, one for each part of an
-- upload in parts. The bytes are in the object store under the blob's name.
create table files (
    id         text collate "C" primary key,
    project_id text collate "C" not null references projects on delete cascade,
    ord        uuid not null,
    created_at timestamptz not null,
    filename   text not null,
    purpose    text not null check (purpose in ('fine-tune', 'assistants', 'batch', 'user_data', 'vision', 'evals',
                   'assistants_output', 'batch_output', 'fine-tune-results')),
    bytes      bigint not null check (bytes >= 0),
    -- The kind of image that the first bytes say it is.
    image_type text check (image_type in ('image/png', 'image/jpeg', 'image/gif', 'image/webp')),
    -- From then on it does not exist; the janitor removes the row.
    expires_at timestamptz
);

create unique index files_in_order on files (project_id, ord);
create index files_of_purpose on files (project_id, purpose, ord);
create index files_expiring on files (expires_at) where expires_at is not null;

-- An upload in parts. Nothing of it is a file before it is completed.
create table uploads (
    id           text collate "C" primary key,
    project_id   text collate "C" not null references projects on delete cascade,
    created_at   timestamptz not null,
    filename     text not null,
    purpose      text not null,
    mime_type    text not null,
    bytes        bigint not null check (bytes >= 0),
    -- Seconds that the file lives, where its creator bounds that.
    file_seconds bigint check (file_seconds > 0),
    status       text not null check (status in ('pending', 'completed', 'cancelled', 'expired')),
    expires_at   timestamptz not null
);

create index uploads_by_project on uploads (project_id);
create index uploads_expiring on uploads (expires_at) where status = 'pending';

-- What the object store holds, or may hold. A blob without an owner is being written, or was abandoned; once
-- it has not been touched for a while, the janitor dooms it, removes the object and then the row. A doomed
-- blob never gets an owner, so that no file ever loses its bytes. Deleting an owner orphans its blobs here,
-- whatever deleted it.
create table blobs (
    name       text collate "C" primary key,
    file_id    text collate "C" references files on delete set null,
    upload_id  text collate "C" references uploads on delete set null,
    -- The part of the upload that it is; its place among the blobs of its file.
    part_id    text collate "C" unique,
    number     integer not null default 0,
    bytes      bigint,
    sha256     bytea check (octet_length(sha256) = 32),
    image_type text,
    touched_at timestamptz not null,
    doomed     boolean not null default false,
    check (file_id is null or upload_id is null),
    check (not doomed or (file_id is null and upload_id is null))
);

create index blobs_of_file on blobs (file_id, number) where file_id is not null;
create index blobs_of_upload on blobs (upload_id) where upload_id is not null;
create index blobs_without_owner on blobs (touched_at) where file_id is null and upload_id is null;

-- When each file was attached to a v1 assistant: file id to microseconds since 1970, strictly increasing.
-- Files that were taken away stay, as places of cursors.
alter table assistants add column file_times json not null default '{}';
