//! Bytes that come from a client, on their way to become a file or a part of an upload.
//!
//! A row announces the blob before its first byte is stored, so that what a killed server leaves behind is
//! known. While bytes flow the row is touched; the janitor takes what has not been touched for
//! [`ABANDONED`].

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};

use super::Context;
use crate::blobs::{Writer, Written};
use crate::error::Error;
use crate::ids;
use crate::services::now;

/// How long a blob without an owner may go untouched before it counts as abandoned.
pub const ABANDONED: Duration = Duration::from_secs(15 * 60);
/// How often a growing blob is touched.
const TOUCH: Duration = Duration::from_secs(60);

/// Bytes that are whole and durable, and nobody's yet. Dropped, they are given up.
pub struct Stored {
    claim: Claim,
    pub bytes: u64,
    pub sha256: [u8; 32],
    /// The kind of image that the first bytes say it is.
    pub image_type: Option<&'static str>,
}

impl Stored {
    pub fn name(&self) -> &str {
        &self.claim.name
    }

    /// They have an owner now.
    pub fn keep(mut self) {
        self.claim.kept = true;
    }
}

/// The announced blob; dropped without an owner it is left to the janitor at once.
struct Claim {
    context: Context,
    name: String,
    kept: bool,
    /// What writes the blob, until it is whole.
    writer: Option<Writer>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        let (context, name) = (self.context.clone(), std::mem::take(&mut self.name));
        let writer = self.writer.take();
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            if let Some(writer) = writer
                && let Err(error) = writer.abort().await
            {
                tracing::warn!(%error, blob = name, "an unfinished blob was not given up");
            }
            match doom(&context, &name).await {
                Ok(()) => context.notify_left_over(),
                // The janitor finds it later.
                Err(error) => tracing::warn!(%error, blob = name, "an abandoned blob was not marked"),
            }
        });
    }
}

/// Leaves a blob to the janitor, unless it has an owner. Where the janitor has been there already, the blob
/// may have been finished after that: it is announced once more.
async fn doom(context: &Context, name: &str) -> Result<(), Error> {
    sqlx::query!(
        "insert into blobs (name, touched_at, doomed) values ($1, $2, true)
         on conflict (name) do update set doomed = true where blobs.file_id is null and blobs.upload_id is null",
        name,
        now(),
    )
    .execute(&context.db)
    .await?;
    Ok(())
}

/// Stores bytes as they come, at most `limit`.
pub async fn store(
    context: &Context,
    bytes: impl Stream<Item = Result<Bytes, Error>>,
    limit: u64,
) -> Result<Stored, Error> {
    let name = ids::random("", 32);
    let writer = Some(context.blobs.write(&name));
    // Before the row, so that there is none without it whenever the client leaves.
    let mut claim = Claim { context: context.clone(), name, kept: false, writer };
    sqlx::query!("insert into blobs (name, touched_at) values ($1, $2)", claim.name, now())
        .execute(&context.db)
        .await?;
    let mut touched = Instant::now();
    let mut bytes = std::pin::pin!(bytes);
    while let (Some(chunk), Some(writer)) = (bytes.next().await, &mut claim.writer) {
        writer.write(chunk?).await.map_err(Error::Storage)?;
        if writer.bytes() > limit {
            return Err(Error::BodyTooLarge { limit: usize::try_from(limit).unwrap_or(usize::MAX) });
        }
        if touched.elapsed() > TOUCH {
            touched = Instant::now();
            touch(context, &claim.name).await?;
        }
    }
    // In a task of its own: what has begun to appear under its name cannot be taken back by leaving, only
    // by the janitor after it.
    tokio::spawn(claim.finish()).await.map_err(|error| Error::Internal(error.to_string()))?
}

impl Claim {
    /// Makes the blob whole and durable.
    async fn finish(mut self) -> Result<Stored, Error> {
        let writer = self.writer.take().ok_or_else(|| Error::Internal("a blob was finished twice".into()))?;
        let Written { bytes, sha256, head } = writer.finish().await.map_err(Error::Storage)?;
        Ok(Stored { claim: self, bytes, sha256, image_type: image_type(&head) })
    }
}

/// Tells the janitor that bytes still come.
async fn touch(context: &Context, name: &str) -> Result<(), Error> {
    let touched =
        sqlx::query!("update blobs set touched_at = $2 where name = $1 and not doomed", name, now())
            .execute(&context.db)
            .await?;
    if touched.rows_affected() == 0 { Err(took_too_long()) } else { Ok(()) }
}

/// The error of bytes that came so slowly that the janitor took them for abandoned.
pub fn took_too_long() -> Error {
    Error::BodyUnreadable("it took too long")
}

/// The kinds of image that models take, by their first bytes.
fn image_type(head: &[u8]) -> Option<&'static str> {
    match head {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some("image/gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_known_by_their_first_bytes() {
        assert_eq!(image_type(b"\x89PNG\r\n\x1a\n\0\0"), Some("image/png"));
        assert_eq!(image_type(b"\xff\xd8\xff\xe0"), Some("image/jpeg"));
        assert_eq!(image_type(b"GIF89a"), Some("image/gif"));
        assert_eq!(image_type(b"RIFF\x10\0\0\0WEBPVP8 "), Some("image/webp"));
        assert_eq!(image_type(b"RIFF\x10\0\0\0WAVE"), None);
        assert_eq!(image_type(b""), None);
    }
}
