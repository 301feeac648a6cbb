//! Archives and databases that do not fit: nothing is restored, and it is said why.

use std::process::Stdio;
use std::time::{Duration, Instant};

use super::*;

/// An archive of a small project.
async fn archived(model: &Model) -> (tempfile::TempDir, PathBuf, Place) {
    let source = Place::new(model);
    let (folder, archive) = folder();
    let server = source.start();
    let client = server.client(KEY);
    client.upload("one.bin", "assistants", noise(2 * 1024 * 1024)).await;
    client.create_thread(&["Hi"]).await;
    server.stop();
    source.back_up(&archive);
    (folder, archive, source)
}

#[tokio::test]
async fn a_damaged_or_cut_off_archive_restores_nothing() {
    let model = Model::start().await;
    let (folder, archive, _source) = archived(&model).await;
    let target = Place::new(&model);
    let whole = std::fs::read(&archive).expect("the archive");
    let broken = folder.path().join("broken.tar.gz");
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0x40;
    let cut = |length: usize| whole[..length].to_vec();
    for bytes in
        [damaged, cut(0), cut(20), cut(middle), cut(whole.len() - 600), cut(whole.len() - 1), noise(9000)]
    {
        std::fs::write(&broken, &bytes).expect("a file");
        let said = target.cannot_restore(&broken);
        assert!(said.contains("locum: The archive is damaged or cut off: "), "{}: {said}", bytes.len());
        assert!(target.filled().await.is_empty());
        assert_eq!(stored(target.database.files()), Vec::<PathBuf>::new());
    }
    target.restore(&archive);
}

#[tokio::test]
async fn only_an_empty_database_is_filled() {
    let model = Model::start().await;
    let (_folder, archive, source) = archived(&model).await;
    let said = source.cannot_restore(&archive);
    assert!(said.contains("locum: The database is not empty: the table projects has rows."), "{said}");
    let said = failure(&["backup", path(&archive)], &source.settings());
    assert!(said.contains("locum: Cannot write ") && said.contains("exists"), "{said}");
}

#[tokio::test]
async fn a_restore_that_was_killed_is_repeated() {
    let model = Model::start().await;
    let (folder, archive, _source) = archived(&model).await;
    let target = Place::new(&model);
    let settings = target.settings();
    let whole = std::fs::read(&archive).expect("the archive");
    let mut child = binary::locum(&["restore", "-"], &settings)
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().expect("a pipe");
    // All but the end: the rows are copied and the file is being stored.
    std::io::Write::write_all(&mut pipe, &whole[..whole.len() - 1000]).expect("it is read");
    let deadline = Instant::now() + Duration::from_secs(60);
    while stored(target.database.files()).is_empty() {
        assert!(Instant::now() < deadline, "no file is stored");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    assert!(target.filled().await.is_empty());
    target.restore(&archive);
    assert!(target.filled().await.contains(&"messages".to_owned()));
    drop(folder);
}

#[tokio::test]
async fn a_file_that_is_damaged_or_lost_is_named() {
    let model = Model::start().await;
    let (folder, _, source) = archived(&model).await;
    let blob = stored(source.database.files()).pop().expect("a blob");
    let name = blob.file_name().unwrap().to_str().unwrap().to_owned();
    std::fs::write(&blob, noise(2 * 1024 * 1024 - 1)).expect("a file");
    let again = folder.path().join("again.tar.gz");
    let said = failure(&["backup", path(&again)], &source.settings());
    assert!(said.contains(&format!("locum: The blob {name} is damaged in the store of files")), "{said}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);

    std::fs::remove_file(&blob).expect("a file");
    let said = source.back_up(&again);
    assert!(said.contains(&format!("The blob {name} is missing in the store of files")), "{said}");
    let target = Place::new(&model);
    let said = target.restore(&again);
    assert!(said.contains(&format!("The blob {name} was missing when the backup was made")), "{said}");
}

/// The same archive with another head.
fn with_head(archive: &Path, changed: &Path, change: impl Fn(&mut Value)) {
    let file = std::fs::File::open(archive).expect("the archive");
    let mut old = tar::Archive::new(flate2::read::GzDecoder::new(file));
    let new = std::fs::File::create(changed).expect("a file");
    let mut new = tar::Builder::new(flate2::write::GzEncoder::new(new, flate2::Compression::fast()));
    for entry in old.entries().expect("entries") {
        let mut entry = entry.expect("an entry");
        let name = entry.path().expect("a name").into_owned();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).expect("its bytes");
        if name == Path::new("locum-backup.json") {
            let mut head = serde_json::from_slice(&bytes).expect("JSON");
            change(&mut head);
            bytes = serde_json::to_vec(&head).expect("JSON");
        }
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        new.append_data(&mut header, &name, &bytes[..]).expect("it is written");
    }
    new.into_inner().and_then(|gzip| gzip.finish()).expect("it is written");
}

#[tokio::test]
async fn an_archive_of_another_version_is_refused_by_name_and_one_that_was_changed_too() {
    let model = Model::start().await;
    let (folder, archive, _source) = archived(&model).await;
    let target = Place::new(&model);
    let changed = folder.path().join("changed.tar.gz");
    type Change = fn(&mut Value);
    let changes: [(Change, &str); 6] = [
        (
            |head| head["format"] = json!(2),
            "The archive has the format 2, and this Locum reads up to 1: use a newer Locum.",
        ),
        (
            |head| head["schema"] = json!(9_999),
            "The archive has the schema 9999, and this Locum reads up to ",
        ),
        (|head| head["schema"] = json!(5), "The database has the schema "),
        (
            |head| head["tables"][3]["columns"][0] = json!("id) from stdin; --"),
            "the table threads has other columns here",
        ),
        (|head| head["tables"][3]["name"] = json!("pg_authid"), "is of no table"),
        (|head| head["locum"] = json!("0.0.0"), "its content is not what was written"),
    ];
    for (change, part) in changes {
        with_head(&archive, &changed, change);
        let said = target.cannot_restore(&changed);
        assert!(said.contains(part), "{said}");
        assert!(target.filled().await.is_empty());
        assert_eq!(stored(target.database.files()), Vec::<PathBuf>::new());
    }
}
