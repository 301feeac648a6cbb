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
