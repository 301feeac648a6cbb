-- The session that ran code of a thread last, on whatever node: no other has its variables.
create table code_sessions (
    thread_id text collate "C" primary key references threads on delete cascade,
    session   text not null,
    -- The node that has it, and until when at least: the thread's next runs prefer that node.
    node       text not null,
    kept_until timestamptz not null
);

-- What a thread has in its working folder: files that were put there, and files that code wrote. The files may be
-- deleted; a row then keeps its name.
create table code_files (
    thread_id text collate "C" not null references threads on delete cascade,
    -- Relative to the folder.
    name      text collate "C" not null check (octet_length(name) <= 1024),
    file_id   text collate "C" not null,
    is_input  boolean not null,
    -- Whether it was there when the folder was last looked at. What code has removed can still be linked.
    is_there  boolean not null default true,
    primary key (thread_id, name)
);

-- The messages that bring files, which are few of many.
create index messages_with_attachments on messages (thread_id, ord) where attachments::text <> '[]';
