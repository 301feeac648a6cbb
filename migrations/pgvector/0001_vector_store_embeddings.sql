-- Vectors of chunks, where the database has pgvector and a server with an embedding model has started on it. They go with their
-- chunks. An index for vectors of one number of dimensions is made when the first of them are stored.
create table vector_store_embeddings (
    chunk      bigint primary key references vector_store_chunks on delete cascade,
    store      bigint not null,
    file       bigint not null,
    dimensions integer not null,
    embedding  vector not null,
    check (dimensions = vector_dims(embedding))
);

-- For small stores, all of whose vectors are compared.
create index vector_store_embeddings_of_store on vector_store_embeddings (store, file);
