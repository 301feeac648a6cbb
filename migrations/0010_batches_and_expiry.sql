-- The files that a batch named. A file in a store may be in several batches, and be asked for by others too.
create table vector_store_batch_files (
    batch_id text collate "C" not null references vector_store_batches on delete cascade,
    file_id  text collate "C" not null,
    -- The number that it had in the store when the batch last had to do with it; its row may be forgotten by now.
    file     bigint not null,
    -- How it ended for the batch, where its row does not say so, or not any more.
    status   text check (status in ('completed', 'cancelled', 'failed')),
    primary key (batch_id, file_id)
);

create index vector_store_batch_files_by_number on vector_store_batch_files (file);

insert into vector_store_batch_files (batch_id, file_id, file)
select batch_id, file_id, max(number) from vector_store_files where batch_id is not null group by batch_id, file_id;

comment on column vector_store_files.batch_id is
    'The batch that put it there, and may cancel it; null as soon as somebody asked for it who is no batch';

-- It has expired, and what its files had is removed. They are listed still, and read anew should it live again.
alter table vector_stores add column emptied boolean not null default false;

-- Those that expire, by when. A time with a time zone plus days would depend on the zone of the session.
create index vector_stores_expiring on vector_stores
    (((last_active_at at time zone 'UTC') + make_interval(hours => 24 * expires_after_days)))
    where not gone and not emptied and expires_after_days is not null;

-- Terms that stand nowhere are removed with the last chunk that had them from now on.
delete from vector_store_terms where chunks <= 0;
