-- The model that embeds a store's files, and the dimensions of its vectors: a store begins with one and keeps it. None: its
-- files are found by words alone.
alter table vector_stores
    add column embedding_model text,
    add column dimensions integer check (dimensions > 0);
