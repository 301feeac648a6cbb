//! Taking more than there is to take. The server answers all the while: it is this very process.

use super::*;

/// Runs a program in both tiers, beside a session that has to answer when it is over.
async fn beside_a_neighbour(program: &str, check: impl Fn(Mode, Done)) {
    const NEIGHBOUR: &str = "
import sys
print('ready')
for line in sys.stdin:
    print(sum(range(int(line))))
";
    for mode in TIERS {
        let sandbox = sandbox(mode).await;
        let mut neighbour = start(&sandbox, NEIGHBOUR, &[]).await;
        assert_eq!(line(&mut neighbour).await, "ready");
        check(mode, run(&sandbox, program, &[]).await);
        tokio::io::AsyncWriteExt::write_all(&mut neighbour.stdin, b"10000\n").await.expect("it listens");
        assert_eq!(line(&mut neighbour).await, "49995000");
    }
}

fn number(done: &Done) -> u64 {
    done.said.trim().parse().unwrap_or_else(|_| panic!("{}{}{:?}", done.said, done.complained, done.ended))
}

#[tokio::test]
async fn processes_are_few() {
    const FORKS: &str = "
import os, signal
children = []
try:
    for _ in range(1000):
        child = os.fork()
        if child == 0:
            signal.pause()
        children.append(child)
except OSError:
    pass
print(len(children))
";
    beside_a_neighbour(FORKS, |mode, done| match mode {
        Mode::Landlock => assert_eq!(number(&done), 0),
        _ => assert!((1..=64).contains(&number(&done)), "{}", number(&done)),
    })
    .await;
}

#[tokio::test]
async fn threads_are_few() {
    const THREADS: &str = "
import threading
threading.stack_size(65536)
waiting, started = threading.Event(), 0
try:
    for _ in range(5000):
        threading.Thread(target=waiting.wait, daemon=True).start()
        started += 1
except RuntimeError:
    pass
print(started, flush=True)
import os
os._exit(0)
";
    beside_a_neighbour(THREADS, |mode, done| {
        assert!((1..=256).contains(&number(&done)), "{mode:?}: {}", number(&done));
    })
    .await;
}

#[tokio::test]
async fn memory_of_one_process_ends() {
    const MEMORY: &str = "
try:
    kept = bytearray(3 << 30)
except MemoryError:
    print(1)
";
    beside_a_neighbour(MEMORY, |mode, done| assert_eq!(number(&done), 1, "{mode:?}")).await;
}

#[tokio::test]
async fn memory_of_many_processes_ends() {
    const MEMORY: &str = "
import os, signal, sys
for _ in range(8):
    try:
        if os.fork() == 0:
            kept = bytearray(200 << 20)
            for place in range(0, len(kept), 4096):
                kept[place] = 1
            signal.pause()
    except OSError:
        sys.exit(7)
signal.pause()
";
    beside_a_neighbour(MEMORY, |mode, done| match mode {
        Mode::Landlock => assert_eq!(done.ended, Ended::Exited(7)),
        _ => assert_eq!(done.ended, Ended::Memory),
    })
    .await;
}

#[tokio::test]
async fn files_are_small_together() {
    const FILES: &str = "
import os, sys, time
written = 0
try:
    for nth in range(100):
        with open(f'file-{nth}', 'wb') as file:
            for _ in range(16):
                written += file.write(os.urandom(1 << 20))
                time.sleep(0.01)
except OSError:
    print(written >> 20)
";
    beside_a_neighbour(FILES, |mode, done| match mode {
        // It is looked at now and then.
        Mode::Landlock => assert_eq!(done.ended, Ended::Disk),
        _ => assert!(number(&done) <= 32, "{}", number(&done)),
    })
    .await;
}

#[tokio::test]
async fn a_file_is_small() {
    const FILE: &str = "
import os, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with open('file', 'wb') as file:
    try:
        file.truncate(1 << 40)
        print(1 << 20)
    except OSError:
        print(0)
";
    beside_a_neighbour(FILE, |mode, done| assert_eq!(number(&done), 0, "{mode:?}")).await;
}

pub const MANY_FILES: &str = "
import os
for nth in range(1_000_000):
    os.close(os.open(f'file-{nth}', os.O_CREAT | os.O_WRONLY))
";

#[tokio::test]
async fn files_are_few() {
    beside_a_neighbour(MANY_FILES, |mode, done| {
        assert_eq!(done.ended, Ended::Disk, "{mode:?}: {}", done.complained)
    })
    .await;
}

#[tokio::test]
async fn open_files_are_few() {
    const FILES: &str = "
import os
opened = 0
try:
    while True:
        os.dup(1)
        opened += 1
except OSError:
    print(opened)
";
    beside_a_neighbour(FILES, |mode, done| assert!(number(&done) <= 256, "{mode:?}: {}", number(&done)))
        .await;
}

#[tokio::test]
async fn other_memory_is_bounded_too() {
    const FILES: &str = "
import os
written = 0
for folder in ('/tmp', '/dev/shm', os.environ['TMPDIR']):
    try:
        with open(folder + '/file', 'wb') as file:
            for _ in range(200):
                written += file.write(bytes(1 << 20))
    except OSError:
        pass
print(written >> 20)
";
    beside_a_neighbour(FILES, |mode, done| match mode {
        Mode::Landlock => assert!(done.ended == Ended::Disk || number(&done) <= 64, "{:?}", done.ended),
        _ => assert!(number(&done) <= 100, "{}", number(&done)),
    })
    .await;
}

/// Whoever ignores signals, leaves its group, has children and children of those, and wants to outlive the server.
const STUBBORN: &str = "
import ctypes, os, signal, sys, time
for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
ctypes.CDLL(None).prctl(1, 0, 0, 0, 0)
for _ in range(2):
    try:
        if os.fork() == 0:
            os.setsid()
            if os.fork() != 0:
                os._exit(0)
            while True:
                pass
    except OSError:
        pass
print(sys.argv[1], flush=True)
while True:
    pass
";

/// Processes that have this in their command line.
fn processes_of(mark: &str) -> usize {
    let processes = std::fs::read_dir("/proc").expect("processes").flatten();
    let of = |path: PathBuf| std::fs::read(path.join("cmdline")).unwrap_or_default();
    processes.filter(|process| String::from_utf8_lossy(&of(process.path())).contains(mark)).count()
}

async fn until_gone(mark: &str) {
    for _ in 0..600 {
        if processes_of(mark) == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{} processes of {mark} run on", processes_of(mark));
}

#[tokio::test]
async fn nothing_survives_being_killed() {
    for mode in TIERS {
        let sandbox = sandbox(mode).await;
        for is_dropped in [false, true] {
            let mark = format!("mark-{}", uuid::Uuid::now_v7());
            let mut sandboxed = start(&sandbox, STUBBORN, std::slice::from_ref(&mark)).await;
            assert_eq!(line(&mut sandboxed).await, mark);
            assert!(processes_of(&mark) >= if mode == Mode::Landlock { 1 } else { 4 });
            if is_dropped {
                drop(sandboxed);
            } else {
                sandboxed.process.kill();
                assert_eq!(
                    sandboxed.process.ended().await.expect("it ends"),
                    Ended::Signalled(9),
                    "{mode:?}"
                );
            }
            until_gone(&mark).await;
        }
    }
}

/// A server that has two sandboxes and is killed.
#[tokio::test]
async fn nothing_survives_the_server() {
    let marks: Vec<String> = TIERS.iter().map(|_| format!("mark-{}", uuid::Uuid::now_v7())).collect();
    let mut server = tokio::process::Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "sandbox::exhaustion::a_server", "--ignored", "--nocapture", "--test-threads=1"])
        .env("MARKS", marks.join(" "))
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("it starts");
    let mut lines =
        tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(server.stdout.take().expect("a pipe")));
    let ready = async {
        while let Some(line) = lines.next_line().await.expect("a line") {
            if line.contains("all are there") {
                return;
            }
        }
        panic!("it ended early");
    };
    tokio::time::timeout(PATIENCE, ready).await.expect("it gets ready");
    assert!(marks.iter().all(|mark| processes_of(mark) > 0), "they run");
    server.kill().await.expect("it is killed");
    for mark in marks {
        until_gone(&mark).await;
    }
}

#[tokio::test]
#[ignore = "the test above starts it, and kills it"]
async fn a_server() {
    let marks = std::env::var("MARKS").expect("marks");
    let mut running = Vec::new();
    for (mode, mark) in TIERS.into_iter().zip(marks.split(' ')) {
        let mut sandboxed = start(&sandbox(mode).await, STUBBORN, &[mark.to_owned()]).await;
        assert_eq!(line(&mut sandboxed).await, mark);
        running.push(sandboxed);
    }
    println!("all are there");
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_flood_of_output_waits_for_its_reader() {
    const FLOOD: &str = "
import os, sys
sys.stderr.write('begun\\n')
sys.stderr.flush()
while True:
    os.write(1, b'x' * 65536)
";
    for mode in TIERS {
        let mut sandboxed = start(&sandbox(mode).await, FLOOD, &[]).await;
        let mut begun = [0; 6];
        sandboxed.stderr.read_exact(&mut begun).await.expect("it has begun");
        sandboxed.process.kill();
        assert_eq!(sandboxed.process.ended().await.expect("it ends"), Ended::Signalled(9), "{mode:?}");
    }
}
