//! Who a request is of. A key belongs to a project; everything a request touches is that project's.
//!
//! Keys of the configuration are compared by digest in memory, stored ones through a cache, so that a
//! request costs no query. The cache forgets after 30 s, and at once when a node announces a change.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, header};
use moka::future::Cache;
use secrecy::{ExposeSecret, SecretString};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::pool::PgPool;
use crate::services::keys::{self, KeyDigest, KeyOwner};

/// How long a valid key is believed without another look.
const BELIEVED: Duration = Duration::from_secs(30);
/// How long an unknown key stays unknown, so that a flood of them does not reach the database.
const REFUSED: Duration = Duration::from_secs(5);
/// Keys in each cache.
const CACHED_KEYS: u64 = 10_000;
/// How often the last use of keys is stored.
const TOUCH_INTERVAL: Duration = Duration::from_secs(60);

/// The project that a request is of.
#[derive(Debug, Clone)]
pub struct Project(pub Arc<str>);

/// Checks keys.
#[derive(Clone)]
pub struct Authenticator(Arc<Inner>);

struct Inner {
    db: PgPool,
    configured: HashMap<KeyDigest, Project>,
    valid: Cache<KeyDigest, Arc<Owner>>,
    invalid: Cache<KeyDigest, ()>,
    used: Mutex<HashSet<String>>,
}

struct Owner {
    key_id: String,
    project: Project,
    expires_at: Option<OffsetDateTime>,
}

impl Authenticator {
    /// `configured` are the keys of `LOCUM_API_KEYS`, all of `project`.
    pub fn new(db: PgPool, configured: Option<&SecretString>, project: &str) -> Self {
        let keys = configured.map(SecretString::expose_secret).unwrap_or_default();
        let keys = keys.split(',').map(str::trim).filter(|key| !key.is_empty());
        Self(Arc::new(Inner {
            db,
            configured: keys.map(|key| (keys::digest(key), Project(project.into()))).collect(),
            valid: Cache::builder().max_capacity(CACHED_KEYS).time_to_live(BELIEVED).build(),
            invalid: Cache::builder().max_capacity(CACHED_KEYS).time_to_live(REFUSED).build(),
            used: Mutex::default(),
        }))
    }

    /// Whether the configuration names any key.
    pub fn has_configured_keys(&self) -> bool {
        !self.0.configured.is_empty()
    }

    /// The project of a request, by its `Authorization: Bearer` header (RFC 6750).
    pub async fn authenticate(&self, headers: &HeaderMap) -> Result<Project, Error> {
        let Some(value) = headers.get(header::AUTHORIZATION) else {
            return Err(Error::Unauthenticated(
                "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer \
                 auth (i.e. Authorization: Bearer YOUR_KEY)."
                    .to_owned(),
            ));
        };
        let key = value.to_str().ok().and_then(bearer).unwrap_or_default();
        let digest = keys::digest(key);
        if let Some(project) = self.0.configured.get(&digest) {
            return Ok(project.clone());
        }
        let refused = || {
            Error::Unauthenticated(format!(
                "Incorrect API key provided: {}. Ask whoever runs this server for a key.",
                mask(key)
            ))
        };
        if key.is_empty() || self.0.invalid.contains_key(&digest) {
            return Err(refused());
        }
        let owner = match self.0.valid.get(&digest).await {
            Some(owner) => owner,
            None => match keys::owner(&self.0.db, &digest).await? {
                Some(owner) => {
                    let owner = Arc::new(Owner::from(owner));
                    self.0.valid.insert(digest, Arc::clone(&owner)).await;
                    owner
                }
                None => {
                    self.0.invalid.insert(digest, ()).await;
                    return Err(refused());
                }
            },
        };
        if owner.expires_at.is_some_and(|at| at <= OffsetDateTime::now_utc()) {
            return Err(refused());
        }
        let mut used = self.0.used.lock().unwrap_or_else(PoisonError::into_inner);
        if !used.contains(&owner.key_id) {
            used.insert(owner.key_id.clone());
        }
        drop(used);
        Ok(owner.project.clone())
    }

    /// Forgets cached keys: some have changed, or may have.
    pub fn forget(&self) {
        self.0.valid.invalidate_all();
        self.0.invalid.invalidate_all();
    }

    /// Stores the last use of keys once a minute and when the server stops.
    pub async fn store_last_use(self, stop: CancellationToken) {
        loop {
            let stopped = tokio::select! {
                () = stop.cancelled() => true,
                () = tokio::time::sleep(TOUCH_INTERVAL) => false,
            };
            let used: Vec<String> =
                self.0.used.lock().unwrap_or_else(PoisonError::into_inner).drain().collect();
            if !used.is_empty()
                && let Err(error) = keys::touch(&self.0.db, &used).await
            {
                tracing::warn!(%error, "the last use of keys could not be stored");
            }
            if stopped {
                return;
            }
        }
    }
}

impl From<KeyOwner> for Owner {
    fn from(owner: KeyOwner) -> Self {
        Self { key_id: owner.key_id, project: Project(owner.project_id.into()), expires_at: owner.expires_at }
    }
}

/// The key of a bearer header; the scheme is compared without case (RFC 9110).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, key) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

/// What of a wrong key may be shown: its first five and last two characters.
fn mask(key: &str) -> String {
    let characters: Vec<char> = key.chars().collect();
    if characters.is_empty() {
        return "''".to_owned();
    }
    if characters.len() < 12 {
        return "***".to_owned();
    }
    let head: String = characters[..5].iter().collect();
    let tail: String = characters[characters.len() - 2..].iter().collect();
    format!("{head}***{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_key_is_shown_masked() {
        assert_eq!(mask("lk_abcdefghijklmnopqrstuvwyz"), "lk_ab***yz");
        assert_eq!(mask("short"), "***");
        assert_eq!(mask(""), "''");
    }

    #[test]
    fn the_scheme_has_no_case() {
        assert_eq!(bearer("bearer  lk_1 "), Some("lk_1"));
        assert_eq!(bearer("Basic lk_1"), None);
    }
}
