-- Tenants. Every object belongs to one project and every query names it, so that a foreign object
-- cannot be told from one that does not exist.
create table projects (
    id         text collate "C" primary key,
    name       text not null unique,
    created_at timestamptz not null
);

-- Keys are random (more than 190 bits), so a plain SHA-256 digest is enough to store and to look up;
-- a slow password hash would only cost time. The key itself is shown once and never stored.
create table api_keys (
    id           text collate "C" primary key,
    project_id   text collate "C" not null references projects on delete cascade,
    name         text,
    digest       bytea not null unique check (octet_length(digest) = 32),
    -- What `keys list` shows of the key: its first characters and its last two.
    hint         text not null,
    created_at   timestamptz not null,
    expires_at   timestamptz,
    revoked_at   timestamptz,
    last_used_at timestamptz
);

create index api_keys_by_project on api_keys (project_id, created_at);
