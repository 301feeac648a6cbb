-- The primary key is the id on the wire. Beside it stands `ord` (UUIDv7), the sort key of every list:
-- pages are keyset scans on `ord` alone, and a cursor whose object is gone still decodes to one.
-- JSON columns are `json`, not `jsonb`: they are echoed as they came (order of keys, NUL escapes),
-- and nothing is ever searched inside them.
create table assistants (
    id               text collate "C" primary key,
    project_id       text collate "C" not null references projects on delete cascade,
    ord              uuid not null,
    created_at       timestamptz not null,
    model            text not null check (length(model) between 1 and 256),
    name             text check (length(name) <= 256),
    description      text check (length(description) <= 512),
    instructions     text check (length(instructions) <= 256000),
    tools            json not null,
    tool_resources   json not null,
    metadata         json not null,
    temperature      double precision check (temperature between 0 and 2),
    top_p            double precision check (top_p between 0 and 1),
    response_format  json not null,
    reasoning_effort text
);

create unique index assistants_in_order on assistants (project_id, ord);
