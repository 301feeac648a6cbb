//! The images of a prompt that are files: the upstream cannot fetch them, so that it is sent their bytes.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::TryStreamExt;

use crate::error::Error;
use crate::services::files;
use crate::services::messages::history::HistoryMessage;
use crate::types::message::{ContentPart, Role};

/// Bytes of all images of a prompt at most; what upstreams accept, and what a run may take of memory.
const IMAGES_BYTES: i64 = 50 * 1024 * 1024;

/// Images by file, as data URLs (RFC 2397).
#[derive(Default)]
pub struct Images(HashMap<String, String>);

impl Images {
    /// The data URL of a file; none where the file is gone or the images before it were too large.
    pub fn data_url(&self, file_id: &str) -> Option<&str> {
        self.0.get(file_id).map(String::as_str)
    }
}

/// Loads the images that users show in a history (newest first), the newest where not all fit.
pub async fn load(
    files: &files::Context,
    project: &str,
    history: &[HistoryMessage],
) -> Result<Images, Error> {
    let mut wanted: Vec<String> = Vec::new();
    for message in history.iter().filter(|message| message.role == Role::User) {
        for part in &message.content {
            if let ContentPart::ImageFile { image_file } = part
                && !wanted.contains(&image_file.file_id)
            {
                wanted.push(image_file.file_id.clone());
            }
        }
    }
    let mut images = Images::default();
    if wanted.is_empty() {
        return Ok(images);
    }
    let known = files::images(&files.db, project, &wanted).await?;
    let mut left = IMAGES_BYTES;
    for id in wanted {
        let Some(image) = known.iter().find(|image| image.file_id == id) else { continue };
        left -= image.bytes;
        if left < 0 {
            break;
        }
        let bytes = match files::content(files, project, &id).await {
            Ok((_, content)) => {
                let bytes = content.try_fold(Vec::new(), |mut bytes, chunk| {
                    bytes.extend_from_slice(&chunk);
                    std::future::ready(Ok(bytes))
                });
                bytes.await.map_err(Error::Storage)?
            }
            // It was deleted just now.
            Err(Error::NoSuchFile { .. }) => continue,
            Err(error) => return Err(error),
        };
        images.0.insert(id, format!("data:{};base64,{}", image.media_type, STANDARD.encode(bytes)));
    }
    Ok(images)
}
