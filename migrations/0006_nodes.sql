-- The queue is read project by project, so that one with many runs does not keep the others waiting. That queued_at
-- is not null says nothing; it keeps queries that do not ask for the queue off this index. Those that do say
-- queued_at > '-infinity': PostgreSQL 17 drops `is not null` from a query where the column is declared so, and could
-- not tell any more that the index fits.
drop index runs_queued;
create index runs_queued on runs (project_id, queued_at)
    where live and status = 'queued' and lease_owner is null and queued_at is not null;

-- Runs out of attempts (services::runs::lease::MAX_ATTEMPTS), which the sweeper fails: hardly ever one, so that
-- looking for them costs nothing however long the queue is.
create index runs_exhausted on runs (id) where live and status = 'queued' and lease_owner is null and attempt >= 3;

-- That expires_at is not null says nothing; it keeps queries that do not ask for it off this index.
drop index runs_expiring;
create index runs_expiring on runs (expires_at) where live and lease_owner is null and expires_at is not null;
