//! Projects and their API keys. Only the SHA-256 of a key is stored; the key is shown once.

use sha2::{Digest, Sha256};
use sqlx::PgExecutor;
use time::OffsetDateTime;
use uuid::Uuid;

use super::now;
use crate::error::Error;
use crate::ids;

/// How every key begins.
pub const KEY_PREFIX: &str = "lk_";
/// Random base62 characters of a key: 238 bits.
const KEY_LENGTH: usize = 40;
/// The channel on which a change of keys is announced to every node.
pub const CHANGED: &str = "locum_keys";
/// The project of `LOCUM_API_KEYS` and of the key that the first start makes.
pub const DEFAULT_PROJECT: &str = "default";

/// The SHA-256 of a key.
pub type KeyDigest = [u8; 32];

/// The digest under which a key is stored.
pub fn digest(key: &str) -> KeyDigest {
    Sha256::digest(key.as_bytes()).into()
}

/// A key as `keys list` shows it.
#[derive(Debug)]
pub struct Key {
    pub id: String,
    pub project: String,
    pub name: Option<String>,
    pub hint: String,
    pub created_at: OffsetDateTime,
    pub expires_at: Option<OffsetDateTime>,
    pub revoked_at: Option<OffsetDateTime>,
    pub last_used_at: Option<OffsetDateTime>,
}

/// Who a valid key belongs to.
#[derive(Debug, Clone)]
pub struct KeyOwner {
    pub key_id: String,
    pub project_id: String,
    pub expires_at: Option<OffsetDateTime>,
}

/// The id of the project with this name, which is made if there is none.
pub async fn ensure_project(db: impl PgExecutor<'_>, name: &str) -> Result<String, Error> {
    let id = ids::id_of("proj_", Uuid::now_v7());
    // The update writes nothing new; it makes the statement return the id of an existing row too.
    let id = sqlx::query_scalar!(
        "insert into projects (id, name, created_at) values ($1, $2, $3)
         on conflict (name) do update set name = excluded.name
         returning id",
        id,
        name,
        now(),
    )
    .fetch_one(db)
    .await?;
    Ok(id)
}

/// Makes a key for a project and returns it; it cannot be read again.
pub async fn create(
    db: impl PgExecutor<'_>,
    project_id: &str,
    name: Option<&str>,
    expires_at: Option<OffsetDateTime>,
) -> Result<String, Error> {
    let key = ids::random(KEY_PREFIX, KEY_LENGTH);
    let hint = format!("{}…{}", &key[..KEY_PREFIX.len() + 3], &key[key.len() - 2..]);
    let digest = digest(&key);
    sqlx::query!(
        "insert into api_keys (id, project_id, name, digest, hint, created_at, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7)",
        ids::id_of("key_", Uuid::now_v7()),
        project_id,
        name,
        digest.as_slice(),
        hint,
        now(),
        expires_at,
    )
    .execute(db)
    .await?;
    Ok(key)
}

/// All keys, oldest first, revoked and expired ones too.
pub async fn list(db: impl PgExecutor<'_>) -> Result<Vec<Key>, Error> {
    let keys = sqlx::query_as!(
        Key,
        "select k.id, p.name as project, k.name, k.hint, k.created_at, k.expires_at, k.revoked_at, k.last_used_at
         from api_keys k join projects p on p.id = k.project_id
         order by k.created_at, k.id"
    )
    .fetch_all(db)
    .await?;
    Ok(keys)
}

/// Revokes a key by its id; false when there is none that is still valid. Nodes that have it cached are told.
pub async fn revoke(db: impl PgExecutor<'_> + Copy, id: &str) -> Result<bool, Error> {
    let done =
        sqlx::query!("update api_keys set revoked_at = $2 where id = $1 and revoked_at is null", id, now())
            .execute(db)
            .await?;
    sqlx::query!("select pg_notify($1, '')", CHANGED).execute(db).await?;
    Ok(done.rows_affected() == 1)
}

/// The owner of the key with this digest, if it is neither revoked nor expired.
pub async fn owner(db: impl PgExecutor<'_>, digest: &KeyDigest) -> Result<Option<KeyOwner>, Error> {
    let owner = sqlx::query_as!(
        KeyOwner,
        "select id as key_id, project_id, expires_at from api_keys
         where digest = $1 and revoked_at is null and (expires_at is null or expires_at > $2)",
        digest.as_slice(),
        now(),
    )
    .fetch_optional(db)
    .await?;
    Ok(owner)
}

/// Whether any key that is still valid is stored.
pub async fn any(db: impl PgExecutor<'_>) -> Result<bool, Error> {
    let any = sqlx::query_scalar!(
        r#"select exists (select 1 from api_keys where revoked_at is null and (expires_at is null or expires_at > $1)) as "any!""#,
        now(),
    )
    .fetch_one(db)
    .await?;
    Ok(any)
}

/// Notes that these keys were used.
pub async fn touch(db: impl PgExecutor<'_>, ids: &[String]) -> Result<(), Error> {
    sqlx::query!("update api_keys set last_used_at = $2 where id = any($1)", ids, now()).execute(db).await?;
    Ok(())
}
