//! Files in and out.

use bytes::Bytes;
use futures_util::stream;

use super::super::files::{Entry, FileError};
use super::*;

fn content(pieces: &[&'static [u8]]) -> impl Stream<Item = io::Result<Bytes>> + use<> {
    stream::iter(pieces.iter().map(|piece| Ok(Bytes::from_static(piece))).collect::<Vec<_>>())
}

use futures_util::Stream;

fn refused<T: std::fmt::Debug>(result: Result<T, FileError>) -> String {
    match result.expect_err("it is refused") {
        FileError::Refused(reason) => reason,
        error => panic!("{error}"),
    }
}

#[tokio::test]
async fn files_go_in_and_out() {
    let mut session = session().await;
    session.put("sales 1.csv", content(&[b"a,b\n", b"", b"1,2\n"]), true).await.expect("it is put");
    session.link("file-abc", "sales 1.csv").await.expect("it is linked");
    let code = "import os\nprint(open('sales 1.csv').read(), open('file-abc').read(), oct(os.stat('file-abc').st_mode & 0o777))";
    assert_eq!(session.logs(code).await, "a,b\n1,2\n a,b\n1,2\n 0o444\n");
    session
        .logs("os.mkdir('out'); open('out/ü.txt', 'w').write('text')\nos.utime('out/ü.txt', ns=(5, 7))")
        .await;
    let mut files = session.list().await.expect("a list").entries;
    files.sort_by(|one, other| one.name.cmp(&other.name));
    assert_eq!(files[0], Entry { name: "out/ü.txt".to_owned(), size: 4, modified_ns: 7 });
    assert_eq!((files[1].name.as_str(), files[1].size, files.len()), ("sales 1.csv", 8, 2));
    assert_eq!(session.get("out/ü.txt", 0, 100).await.expect("it is there"), "text");
    assert_eq!(session.get("out/ü.txt", 1, 2).await.expect("it is there"), "ex");
    assert_eq!(session.get("out/ü.txt", 4, 2).await.expect("it is there"), "");
    // Put anew it is what was put, empty too, though it was only to be read.
    session.put("sales 1.csv", content(&[]), false).await.expect("it is put");
    assert_eq!(session.get("sales 1.csv", 0, 100).await.expect("it is there"), "");
}

#[tokio::test]
async fn big_files_go_in_pieces() {
    let mut session = session().await;
    let chunks: Vec<_> = (0..50u8).map(|n| Ok(Bytes::from(vec![n; 77_777]))).collect();
    let whole: Vec<u8> = chunks.iter().flat_map(|chunk| chunk.as_ref().unwrap().to_vec()).collect();
    session.put("big", stream::iter(chunks), false).await.expect("it is put");
    let mut read = Vec::new();
    loop {
        let piece = session.get("big", read.len() as u64, usize::MAX).await.expect("a piece");
        if piece.is_empty() {
            break;
        }
        assert!(piece.len() <= 1024 * 1024);
        read.extend_from_slice(&piece);
    }
    assert!(read == whole);
    let exact = vec![Ok(Bytes::from(vec![1; 2 * 1024 * 1024]))];
    session.put("exact", stream::iter(exact), false).await.expect("it is put");
    assert_eq!(session.logs("import os; os.path.getsize('exact')").await, "2097152\n");
}

#[tokio::test]
async fn what_is_no_file_is_refused_and_the_session_goes_on() {
    let mut session = session().await;
    session
        .logs("import os; os.mkfifo('pipe'); os.symlink('/etc/passwd', 'link'); os.mkdir('folder');")
        .await;
    session.logs("os.mkdir(b'\\xff'); open(b'n\\xff', 'w').close(); open('-a\\nb', 'w').close()").await;
    for (name, reason) in [
        ("missing", "No such file or directory"),
        ("pipe", "it is not a regular file"),
        ("folder", "it is not a regular file"),
        ("link", "Too many levels of symbolic links"),
        ("../x", "it is no path of a file"),
        ("/etc/passwd", "it is no path of a file"),
    ] {
        assert_eq!(refused(session.get(name, 0, 10).await), reason, "{name}");
    }
    let names: Vec<_> =
        session.list().await.expect("a list").entries.into_iter().map(|entry| entry.name).collect();
    assert_eq!(names, ["-a\nb"]);
    assert_eq!(refused(session.put("a/b", content(&[]), false).await), "it is no name of a file");
    assert_eq!(refused(session.put("folder", content(&[]), false).await), "Is a directory");
    assert_eq!(refused(session.link("a", "../b").await), "it is no name of a file");
    // A pipe or a link in its place is not written to.
    session.put("pipe", content(&[b"x"]), false).await.expect("it is put");
    session.put("link", content(&[b"x"]), false).await.expect("it is put");
    assert_eq!(session.get("link", 0, 9).await.expect("it is there"), "x");
    let broken = stream::iter([Ok(Bytes::from_static(b"half")), Err(io::Error::other("gone"))]);
    assert!(matches!(session.put("half", broken, false).await, Err(FileError::Content(_))));
    assert_eq!(refused(session.get("half", 0, 10).await), "No such file or directory");
    assert_eq!(session.logs("1").await, "1\n");
}

#[tokio::test]
async fn a_file_is_there_whole_or_not_at_all() {
    let mut session = session().await;
    let pieces = || [Ok(Bytes::from(vec![b'x'; 2 << 20])), Err(io::Error::other("gone"))];
    assert!(matches!(session.put("a", stream::iter(pieces()), true).await, Err(FileError::Content(_))));
    assert_eq!(session.list().await.expect("a list").entries, []);
    assert_eq!(session.logs("import os; [n for n in os.listdir() if not n.startswith('.')]").await, "[]\n");
    // What is left of it is in nobody's way, also where code has put something there.
    session.logs("os.remove('.put'); os.symlink('/etc/passwd', '.put')").await;
    let entry = session.put("a", content(&[b"whole"]), true).await.expect("it is put");
    assert_eq!((entry.name.as_str(), entry.size), ("a", 5));
    assert_eq!(session.list().await.expect("a list").entries, [entry]);
    assert_eq!(
        session.logs("oct(os.stat('a').st_mode & 0o777), open('a').read()").await,
        "('0o444', 'whole')\n"
    );
    session.put("a", content(&[b"next"]), false).await.expect("it is put");
    assert_eq!(session.logs("open('a', 'a').write('!'); open('a').read()").await, "'next!'\n");
}

#[tokio::test]
async fn the_last_changed_is_listed_first_and_what_is_hidden_not_at_all() {
    let mut session = session().await;
    session.logs("import os\nos.mkdir('.h'); open('.h/x', 'w').close(); open('.y', 'w').close()").await;
    session.logs("for n in range(1001): open(f'{n}', 'w').close()").await;
    // A time that a program sets changes nothing.
    session.logs("import time; time.sleep(0.02); open('last', 'w').close(); os.utime('last', (1, 1))").await;
    let listing = session.list().await.expect("a list");
    assert!(listing.is_cut && listing.entries.len() == 1_000);
    assert_eq!((listing.entries[0].name.as_str(), listing.entries[0].modified_ns), ("last", 1_000_000_000));
    session.logs("for n in range(1001): os.remove(f'{n}')").await;
    let listing = session.list().await.expect("a list");
    assert!(!listing.is_cut && listing.entries.len() == 1);
}

#[tokio::test]
async fn lists_are_bounded() {
    let mut session = session().await;
    session.logs("for n in range(1500): open(f'{n}', 'w').close()").await;
    assert_eq!(session.list().await.expect("a list").entries.len(), 1_000);
    session.logs("import os\nfor n in range(1500): os.remove(f'{n}')\nos.utime('.', (2**40, 2**40))").await;
    // Names of every length, and a time that no 64 bits of nanoseconds hold.
    let code = "for n in range(1000):\n    open('€' * 80 + f'{n}', 'w').close()\nos.utime('€' * 80 + '7', (2**40, 2**40))";
    session.logs(code).await;
    assert_eq!(session.list().await.expect("a list").entries.len(), 1_000);
    session.logs("import shutil; shutil.rmtree(os.getcwd())").await;
    assert_eq!(session.list().await.expect("a list").entries, []);
    session.put("again", content(&[b"x"]), false).await.expect("the folder is made anew");
    assert_eq!(session.list().await.expect("a list").entries.len(), 1);
}

#[tokio::test]
async fn forged_lists_end_the_session() {
    for names in [&["../../etc/passwd"][..], &["/etc/passwd"], &["a/../b"], &["twice", "once", "twice"]] {
        let mut session = session().await;
        let name = format!("{names:?}");
        let code = format!(
            "import gc\ns = next(o for o in gc.get_objects() if type(o).__name__ == 'Session')\n\
            s.do_list = lambda *_: {{'files': [[n, 1, 1] for n in {names:?}]}}"
        );
        session.logs(&code).await;
        assert!(matches!(session.list().await, Err(FileError::Gone(_))), "{name}");
        assert!(session.gone().is_some());
    }
}
