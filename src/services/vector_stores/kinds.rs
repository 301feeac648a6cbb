//! What can be told of a file by its name alone.

/// Extensions of files that hold no text: images, sound, film, archives, programs, and documents of formats that nothing
/// here reads.
const UNSEARCHABLE: &[&str] = &[
    "7z", "avi", "bin", "bmp", "bz2", "doc", "dll", "dmg", "ds_store", "dylib", "exe", "flac", "gif", "gz",
    "heic", "ico", "iso", "jar", "jpeg", "jpg", "m4a", "mkv", "mov", "mp3", "mp4", "mpeg", "mpga", "odp",
    "ods", "ogg", "otf", "parquet", "pkl", "png", "ppt", "pyc", "rar", "so", "sqlite", "tar", "tgz", "tif",
    "tiff", "ttf", "wasm", "wav", "webm", "webp", "woff", "woff2", "xls", "xz", "zip", "zst",
];

/// The extension of a file that cannot be searched, with its dot and as it was written.
pub fn unsearchable_extension(filename: &str) -> Option<String> {
    let (_, extension) = filename.rsplit_once('.')?;
    UNSEARCHABLE.contains(&extension.to_lowercase().as_str()).then(|| format!(".{extension}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_counts_in_any_case() {
        assert_eq!(unsearchable_extension("a.b.PNG").as_deref(), Some(".PNG"));
        assert_eq!(unsearchable_extension("notes.md"), None);
        assert_eq!(unsearchable_extension("png"), None);
    }

    #[test]
    fn extensions_are_sorted() {
        assert!(UNSEARCHABLE.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
