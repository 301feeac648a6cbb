//! Who has which session.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use futures_util::future::join_all;

use super::super::{Interpreter, Lease, Options, Unavailable};
use super::*;

/// One that starts sessions as they are asked for, unless a test says otherwise.
fn interpreter(launcher: &Arc<Plain>, options: Options) -> Interpreter {
    Interpreter::start(Arc::clone(launcher) as Arc<dyn Launcher>, options)
}

const COLD: Options =
    Options { warm: 0, sessions: 20, idle: Duration::from_secs(1_200), call: Duration::from_secs(60) };

async fn lease(interpreter: &Interpreter, thread_id: &str) -> Lease {
    interpreter.session(thread_id).await.expect("a session")
}

async fn logs(lease: &mut Lease, code: &str) -> String {
    let executed = lease.execute(code, LONG, pending()).await;
    assert_eq!(executed.outcome, Outcome::Completed, "{code}: {}", executed.logs);
    executed.logs
}

/// Looks again and again; nothing tells a test that a process of the background is there.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..6_000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it did not come to pass: {what}");
}

fn is_running(pid: &str) -> bool {
    Path::new("/proc").join(pid.trim()).exists()
}

#[tokio::test]
async fn a_thread_keeps_its_session_and_no_other_sees_it() {
    let launcher = Arc::new(Plain::default());
    let interpreter = interpreter(&launcher, COLD);
    let mut first = lease(&interpreter, "thread_a").await;
    assert!(first.is_new());
    assert_eq!(logs(&mut first, "x = 1").await, "");
    let mut other = lease(&interpreter, "thread_b").await;
    assert!(other.is_new() && other.data() != first.data());
    let executed = other.execute("x", LONG, pending()).await;
    assert!(executed.outcome == Outcome::Failed && executed.logs.contains("NameError"));
    drop(first);
    let mut again = lease(&interpreter, "thread_a").await;
    assert!(!again.is_new());
    assert_eq!(logs(&mut again, "x").await, "1\n");
    assert_eq!(launcher.started.load(Ordering::SeqCst), 2);
    drop((again, other));
    interpreter.stop().await;
}

#[tokio::test]
async fn runs_of_a_thread_wait_for_each_other() {
    let interpreter = interpreter(&Arc::new(Plain::default()), COLD);
    let mut first = lease(&interpreter, "thread_a").await;
    logs(&mut first, "x = 'first'").await;
    let mut second = Box::pin(lease(&interpreter, "thread_a"));
    assert!(futures_util::poll!(&mut second).is_pending());
    tokio::task::yield_now().await;
    assert!(futures_util::poll!(&mut second).is_pending());
    drop(first);
    let mut second = second.await;
    assert!(!second.is_new());
    assert_eq!(logs(&mut second, "x").await, "'first'\n");
}

#[tokio::test]
async fn a_lease_that_is_dropped_in_a_cell_ends_the_session() {
    let interpreter = interpreter(&Arc::new(Plain::default()), COLD);
    let mut first = lease(&interpreter, "thread_a").await;
    let pid = logs(&mut first, "import os; os.getpid()").await;
    assert!(is_running(&pid));
    {
        let mut cell = Box::pin(first.execute("while True: pass", LONG, pending()));
        assert!(futures_util::poll!(&mut cell).is_pending());
    }
    assert_eq!(first.gone(), Some("a call was given up"));
    drop(first);
    until("the process is gone", || !is_running(&pid)).await;
    assert!(lease(&interpreter, "thread_a").await.is_new());
}

#[tokio::test]
async fn a_session_that_died_is_followed_by_a_new_one() {
    let interpreter = interpreter(&Arc::new(Plain::default()), COLD);
    let mut first = lease(&interpreter, "thread_a").await;
    let executed = first.execute("import os; os._exit(1)", LONG, pending()).await;
    assert!(matches!(executed.outcome, Outcome::Died { .. }));
    assert!(first.gone().is_some());
    drop(first);
    let mut second = lease(&interpreter, "thread_a").await;
    assert!(second.is_new());
    // One that dies while nobody has it.
    let code = "import os, threading, time\ndef later():\n    while not os.path.exists('go'): time.sleep(0.001)\n    \
        os._exit(1)\nthreading.Thread(target=later).start()\nos.getpid()";
    let pid = logs(&mut second, code).await;
    let go = Path::new(second.data()).join("go");
    drop(second);
    std::fs::write(go, "").expect("a file");
    until("the process is gone", || is_zombie_or_gone(&pid)).await;
    assert!(lease(&interpreter, "thread_a").await.is_new());
}

/// Nobody has waited for it yet.
fn is_zombie_or_gone(pid: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
    status.map_or(true, |status| status.contains(") Z "))
}

#[tokio::test]
async fn the_one_unused_for_longest_makes_room_and_a_busy_one_never() {
    let interpreter = interpreter(&Arc::new(Plain::default()), Options { sessions: 2, ..COLD });
    drop(lease(&interpreter, "thread_a").await);
    drop(lease(&interpreter, "thread_b").await);
    // Used once more, so that it is the younger one.
    assert!(!lease(&interpreter, "thread_a").await.is_new());
    let c = lease(&interpreter, "thread_c").await;
    let a = lease(&interpreter, "thread_a").await;
    assert!(c.is_new() && !a.is_new());
    // Both are busy: the next one waits until one of them is given back.
    let mut b = Box::pin(lease(&interpreter, "thread_b"));
    assert!(futures_util::poll!(&mut b).is_pending());
    drop(c);
    assert!(b.await.is_new());
    drop(a);
    assert!(!lease(&interpreter, "thread_a").await.is_new());
}

#[tokio::test]
async fn many_threads_share_few_places() {
    let interpreter = interpreter(&Arc::new(Plain::default()), Options { sessions: 2, ..COLD });
    // Both places are idle ones of other threads when all come at once.
    drop((lease(&interpreter, "thread_x").await, lease(&interpreter, "thread_y").await));
    let runs = (0..6).map(|n| {
        let interpreter = interpreter.clone();
        async move {
            let mut lease = lease(&interpreter, &format!("thread_{n}")).await;
            logs(&mut lease, &format!("{n}")).await
        }
    });
    let expected: Vec<_> = (0..6).map(|n| format!("{n}\n")).collect();
    assert_eq!(join_all(runs).await, expected);
}

#[tokio::test]
async fn those_who_give_up_waiting_leave_nothing_behind() {
    let interpreter = interpreter(&Arc::new(Plain::default()), Options { sessions: 1, ..COLD });
    let a = lease(&interpreter, "thread_a").await;
    for _ in 0..3 {
        let mut b = Box::pin(interpreter.session("thread_b"));
        assert!(futures_util::poll!(&mut b).is_pending());
    }
    drop(a);
    // Nobody waited any more when it was given back, so it is still there.
    assert!(!lease(&interpreter, "thread_a").await.is_new());
    assert!(lease(&interpreter, "thread_b").await.is_new());
}

#[tokio::test]
async fn whoever_asks_for_a_session_may_give_up() {
    let interpreter = interpreter(&Arc::new(Plain::default()), COLD);
    let mut first = lease(&interpreter, "thread_a").await;
    logs(&mut first, "x = 1").await;
    drop(first);
    for polls in 0..10 {
        let mut asked = Box::pin(interpreter.session("thread_a"));
        for _ in 0..polls {
            let is_ready = poll_fn(|context| Poll::Ready(asked.as_mut().poll(context).is_ready())).await;
            if is_ready {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    let mut last = lease(&interpreter, "thread_a").await;
    assert_eq!(logs(&mut last, "x").await, "1\n");
}

#[tokio::test]
async fn idle_sessions_end_by_themselves() {
    let options = Options { idle: Duration::from_millis(300), ..COLD };
    let interpreter = interpreter(&Arc::new(Plain::default()), options);
    let mut a = lease(&interpreter, "thread_a").await;
    let pid = logs(&mut a, "import os; os.getpid()").await;
    // In use it does not, however long.
    logs(&mut a, "import time; time.sleep(0.6)").await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(is_running(&pid) && a.gone().is_none());
    drop(a);
    until("the process is gone", || !is_running(&pid)).await;
    assert!(lease(&interpreter, "thread_a").await.is_new());
}

#[tokio::test]
async fn the_session_of_a_deleted_thread_ends_even_in_a_cell() {
    let interpreter = interpreter(&Arc::new(Plain::default()), COLD);
    let mut idle = lease(&interpreter, "thread_a").await;
    let pid = logs(&mut idle, "import os; os.getpid()").await;
    drop(idle);
    interpreter.end("thread_a");
    until("the process is gone", || !is_running(&pid)).await;
    let mut busy = lease(&interpreter, "thread_b").await;
    let pid = logs(&mut busy, "import os; os.getpid()").await;
    let (executed, ()) = tokio::join!(busy.execute("while True: pass", LONG, pending()), async {
        interpreter.end("thread_b");
    });
    assert_eq!(executed.outcome, Outcome::Died { reason: "its thread was deleted".to_owned() });
    until("the process is gone", || is_zombie_or_gone(&pid)).await;
    interpreter.end("thread_unknown");
    drop(busy);
    assert!(lease(&interpreter, "thread_b").await.is_new());
}

#[tokio::test]
async fn stopping_ends_all_and_starts_none() {
    let launcher = Arc::new(Plain::default());
    let interpreter = interpreter(&launcher, Options { warm: 1, ..COLD });
    let mut idle = lease(&interpreter, "thread_a").await;
    let mut pids = vec![logs(&mut idle, "import os; os.getpid()").await];
    drop(idle);
    let mut busy = lease(&interpreter, "thread_b").await;
    pids.push(logs(&mut busy, "import os; os.getpid()").await);
    let waiting = {
        let interpreter = interpreter.clone();
        tokio::spawn(async move { interpreter.session("thread_b").await.map(drop) })
    };
    let running = tokio::spawn(async move { busy.execute("while True: pass", LONG, pending()).await });
    tokio::task::yield_now().await;
    interpreter.stop().await;
    assert!(matches!(running.await.expect("no panic").outcome, Outcome::Died { .. }));
    assert_eq!(waiting.await.expect("no panic"), Err(Unavailable::Stopping));
    until("the processes are gone", || pids.iter().all(|pid| !is_running(pid))).await;
    let started = launcher.started.load(Ordering::SeqCst);
    assert_eq!(interpreter.session("thread_c").await.err(), Some(Unavailable::Stopping));
    assert_eq!(launcher.started.load(Ordering::SeqCst), started);
}

#[tokio::test]
async fn warm_sessions_are_there_before_they_are_needed() {
    let launcher = Arc::new(Plain::default());
    let interpreter = interpreter(&launcher, Options { warm: 2, ..COLD });
    until("two are started", || launcher.started.load(Ordering::SeqCst) == 2).await;
    // The lease waits for one that is being started rather than starting a third for itself; another follows.
    let mut a = lease(&interpreter, "thread_a").await;
    assert!(a.is_new());
    assert_eq!(logs(&mut a, "1").await, "1\n");
    until("a third is started", || launcher.started.load(Ordering::SeqCst) >= 3).await;
    drop(a);
    interpreter.stop().await;
}

#[tokio::test]
async fn sessions_that_cannot_be_started_are_told_and_not_tried_without_end() {
    let begun = std::time::Instant::now();
    let launcher = Arc::new(Plain { failing: AtomicUsize::new(usize::MAX), ..Plain::default() });
    let interpreter = interpreter(&launcher, Options { warm: 1, ..COLD });
    let reason = "it ended by itself with code 1 (no room)".to_owned();
    let error = interpreter.session("thread_a").await.err();
    assert_eq!(error, Some(Unavailable::NotStarted(reason)));
    tokio::time::sleep(Duration::from_millis(500)).await;
    // The warm one, the one that was asked for, and one for each second on a machine that takes its time.
    let most = 2 + usize::try_from(begun.elapsed().as_secs()).expect("not as many");
    assert!(launcher.started.load(Ordering::SeqCst) <= most);
    // Once it can be, it is, and nobody holds the failure's place.
    launcher.failing.store(0, Ordering::SeqCst);
    assert!(lease(&interpreter, "thread_a").await.is_new());
    interpreter.stop().await;
}

#[tokio::test]
async fn without_a_sandbox_there_is_no_session() {
    let refused = Interpreter::refused("no namespaces here".to_owned());
    assert_eq!(refused.refusal(), Some("no namespaces here"));
    let error = refused.session("thread_a").await.err();
    assert_eq!(error.map(|error| error.to_string()).as_deref(), Some("no namespaces here"));
    refused.end("thread_a");
    refused.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_sessions_at_once() {
    let interpreter = interpreter(&Arc::new(Plain::default()), Options { warm: 1, ..COLD });
    let calls = (0..20).map(|n| {
        let interpreter = interpreter.clone();
        async move {
            let mut lease = lease(&interpreter, &format!("thread_{n}")).await;
            assert!(lease.is_new());
            let logged = logs(&mut lease, &format!("x = {n}\nprint('y' * 100_000)")).await;
            assert!((32_768..40_000).contains(&logged.len()));
            lease
        }
    });
    let mut leases = join_all(calls).await;
    for (n, logged) in join_all(leases.iter_mut().map(|lease| logs(lease, "x"))).await.iter().enumerate() {
        assert_eq!(logged, &format!("{n}\n"));
    }
    drop(leases);
    interpreter.stop().await;
}
