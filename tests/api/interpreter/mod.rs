//! Sessions of Python as a server has them: with their libraries, in sandboxes of both tiers.

mod speed;

use std::future::pending;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use locum::interpreter::{Executed, Interpreter, Lease, Options, Outcome};
use locum::sandbox::{self, Mode, Sandbox};

const MIB: u64 = 1024 * 1024;
const TIERS: [Mode; 2] = [Mode::Namespaces, Mode::Landlock];
/// Longer than anything takes here unless something is wrong.
const LONG: Duration = Duration::from_secs(120);

async fn interpreter(mode: Mode, options: Options) -> Interpreter {
    let sandbox = sandbox::Options {
        mode,
        python: None,
        program: PathBuf::from(env!("CARGO_BIN_EXE_locum")),
        folder: std::env::temp_dir().join(format!("locum-test-{}", uuid::Uuid::now_v7())),
        memory: 1024 * MIB,
        disk: 64 * MIB,
    };
    let sandbox = Sandbox::probe(sandbox).await.unwrap_or_else(|refusal| panic!("{mode:?}: {refusal}"));
    Interpreter::start(Arc::new(sandbox), options)
}

async fn execute(lease: &mut Lease, code: &str) -> Executed {
    lease.execute(code, LONG, pending()).await
}

async fn logs(lease: &mut Lease, code: &str) -> String {
    let executed = execute(lease, code).await;
    assert_eq!(executed.outcome, Outcome::Completed, "{}", executed.logs);
    executed.logs
}

#[tokio::test]
async fn a_csv_becomes_a_plot_and_a_workbook() {
    for mode in TIERS {
        let interpreter = interpreter(mode, Options::default()).await;
        let mut lease = interpreter.session("thread_1").await.expect("a session");
        assert!(lease.is_new());
        let csv = Bytes::from_static(b"city,people\nOslo,700\nBergen,290\nTromso,77\n");
        lease.put("cities.csv", stream::iter([Ok(csv)]), true).await.expect("the file is put");
        lease.link("file-abc", "cities.csv").await.expect("it has another name");
        let said = logs(
            &mut lease,
            "import pandas as pd\ntable = pd.read_csv('cities.csv')\nprint(pd.read_csv('file-abc').shape)\ntable.people.sum()",
        )
        .await;
        assert_eq!(said, "(3, 2)\n1067\n", "{mode:?}");
        drop(lease);

        // Another run of the thread: what was there is there.
        let mut lease = interpreter.session("thread_1").await.expect("the session");
        assert!(!lease.is_new());
        let plotted =
            execute(&mut lease, "import matplotlib.pyplot as plt\ntable.plot.bar(x='city')\nplt.show()")
                .await;
        assert_eq!(plotted.outcome, Outcome::Completed, "{mode:?}: {}", plotted.logs);
        assert_eq!(plotted.images.len(), 1, "{mode:?}: {}", plotted.logs);
        assert!(plotted.images[0].starts_with(b"\x89PNG"));
        logs(
            &mut lease,
            "table.to_excel('cities.xlsx', index=False); table.to_csv('again.csv', index=False)",
        )
        .await;
        let mut names: Vec<String> =
            lease.list().await.expect("the files").entries.into_iter().map(|entry| entry.name).collect();
        names.sort();
        assert_eq!(names, ["again.csv", "cities.csv", "cities.xlsx"], "{mode:?}");
        let workbook = lease.get("cities.xlsx", 0, 1 << 20).await.expect("the file");
        assert!(workbook.starts_with(b"PK\x03\x04"));
        assert_eq!(
            lease.get("again.csv", 0, 1 << 20).await.expect("the file"),
            "city,people\nOslo,700\nBergen,290\nTromso,77\n"
        );
        drop(lease);
        interpreter.stop().await;
    }
}

/// In the tier without a file system of its own the folder is another one; neither code nor its readers need to know.
#[tokio::test]
async fn the_folder_has_one_name() {
    for mode in TIERS {
        let interpreter = interpreter(mode, Options::default()).await;
        let mut lease = interpreter.session("thread_1").await.expect("a session");
        let code = "
import os
with open('/mnt/data/x.txt', 'w') as file: file.write('x')
print(os.path.exists('x.txt'), os.getcwd(), os.listdir('/mnt/data'))
open('/mnt/data/nothing')";
        let executed = execute(&mut lease, code).await;
        let logs = &executed.logs;
        assert!(logs.starts_with("True /mnt/data ['x.txt']\n"), "{mode:?}: {logs}");
        assert!(logs.ends_with("No such file or directory: '/mnt/data/nothing'\n"), "{mode:?}: {logs}");
        assert!(!logs.contains("locum"), "{mode:?}: {logs}");
        drop(lease);
        interpreter.stop().await;
    }
}

#[tokio::test]
async fn libraries_are_there() {
    const CODE: &str = "
import asyncio, io, sqlite3, tempfile, threading, zipfile, shutil, decimal
import numpy, pandas, matplotlib, openpyxl, pypdf, PIL.Image
async def wait():
    await asyncio.sleep(0.01)
    return 'waited'
print(asyncio.run(wait()))
print(numpy.linalg.inv(numpy.eye(50) * 2).sum())
PIL.Image.new('RGB', (8, 8), 'red').save('red.png')
shutil.copy('red.png', 'copy.png')
with tempfile.TemporaryDirectory() as folder:
    open(folder + '/x', 'w').write('x')
print(sqlite3.connect('x.db').execute('select 6 * 7').fetchone())
found = []
thread = threading.Thread(target=lambda: found.append(1)); thread.start(); thread.join()
print(found)
";
    for mode in TIERS {
        let interpreter = interpreter(mode, Options::default()).await;
        let mut lease = interpreter.session("thread_1").await.expect("a session");
        assert_eq!(logs(&mut lease, CODE).await, "waited\n25.0\n(42,)\n[1]\n", "{mode:?}");
        if mode == Mode::Namespaces {
            let many = "
import multiprocessing, subprocess
def double(number): return number * 2
with multiprocessing.Pool(2) as pool: print(pool.map(double, [1, 2, 3]))
print(subprocess.run(['echo', 'a program'], capture_output=True, text=True).stdout)";
            assert_eq!(logs(&mut lease, many).await, "[2, 4, 6]\na program\n\n");
        }
        drop(lease);
        interpreter.stop().await;
    }
}

#[tokio::test]
async fn what_takes_too_much_says_so_and_the_next_session_is_fresh() {
    for mode in TIERS {
        let interpreter = interpreter(mode, Options::default()).await;
        let mut lease = interpreter.session("thread_1").await.expect("a session");
        logs(&mut lease, "kept = 1").await;
        let slow = lease.execute("while True: pass", Duration::from_millis(500), pending()).await;
        assert_eq!(slow.outcome, Outcome::TimedOut, "{mode:?}");
        assert_eq!(logs(&mut lease, "kept").await, "1\n", "{mode:?}: an interruption keeps variables");
        let stubborn = "
import signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
while True: pass";
        let cancelled = lease.execute(stubborn, LONG, tokio::time::sleep(Duration::from_millis(300))).await;
        assert_eq!(cancelled.outcome, Outcome::Interrupted, "{mode:?}");
        drop(lease);
        let mut lease = interpreter.session("thread_1").await.expect("a session");
        assert!(lease.is_new(), "{mode:?}");
        let full = "
import time
for nth in range(1000):
    with open(f'file-{nth}', 'wb') as file:
        file.write(bytes(1 << 20))
    time.sleep(0.005)";
        let full = execute(&mut lease, full).await;
        match mode {
            Mode::Landlock => {
                let reason = "its files took more room than they may, or were too many".to_owned();
                assert_eq!(full.outcome, Outcome::Died { reason });
            }
            _ => assert!(full.logs.contains("No space left"), "{}", full.logs),
        }
        drop(lease);
        let mut lease = interpreter.session("thread_2").await.expect("a session");
        let died = execute(&mut lease, "import os; os.kill(os.getpid(), 9)").await;
        assert_eq!(died.outcome, Outcome::Died { reason: "it was ended by signal 9".to_owned() }, "{mode:?}");
        drop(lease);
        interpreter.stop().await;
    }
}

#[tokio::test]
async fn threads_have_sessions_of_their_own_and_many_at_once() {
    let options = Options { sessions: 20, ..Options::default() };
    let interpreter = interpreter(Mode::Namespaces, options).await;
    let calls = (0..20).map(|number| {
        let interpreter = interpreter.clone();
        tokio::spawn(async move {
            let mut lease = interpreter.session(&format!("thread_{number}")).await.expect("a session");
            logs(
                &mut lease,
                &format!("import os; mine = {number}; open('mine', 'w').write(str(mine)); None"),
            )
            .await;
            drop(lease);
            let mut lease = interpreter.session(&format!("thread_{number}")).await.expect("the session");
            assert_eq!(logs(&mut lease, "print(mine, os.listdir())").await, format!("{number} ['mine']\n"));
        })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.expect("it goes through");
    }
    interpreter.stop().await;
}
