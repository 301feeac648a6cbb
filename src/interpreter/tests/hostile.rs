//! Cells that are at odds with their own process.

use super::*;

#[tokio::test]
async fn a_dead_process_is_told_with_its_last_words() {
    for (code, reason) in [
        ("import os; print('last', flush=True); os._exit(7)", "it ended by itself with code 7"),
        (
            "import os, signal; print('last'); os.kill(os.getpid(), signal.SIGSEGV)",
            "it was ended by signal 11",
        ),
        ("import ctypes; print('last'); ctypes.string_at(0)", "it was ended by signal 11"),
    ] {
        let mut session = session().await;
        let executed = session.cell(code).await;
        assert_eq!(executed.outcome, Outcome::Died { reason: reason.to_owned() }, "{code}");
        assert_eq!(executed.logs, "last\n");
        assert_eq!(session.ping().await, Err(reason.to_owned()));
    }
}

#[tokio::test]
async fn forged_frames_end_the_session() {
    let prelude = "import os, struct\ndef forge(body, extra=b''):\n    frame = struct.pack('>II', len(body), \
        len(extra)) + body + extra\n    for fd in range(3, 64):\n        try: os.write(fd, frame)\n        \
        except OSError: pass\n";
    for forged in [
        "forge(b'{\"id\":1,\"event\":\"done\",\"outcome\":\"completed\"}')",
        "forge(b'{\"id\":1,\"event\":\"image\"}', b'\\x89PNG\\r\\n\\x1a\\n')",
        "forge(b'{}')",
        "forge(b'[' * 4000)",
        "forge(b'', b'x' * 10)",
        "for fd in range(3, 64):\n    try: os.write(fd, b'\\xff' * 8)\n    except OSError: pass",
    ] {
        let mut session = session().await;
        let reason = session.death(&format!("{prelude}{forged}\nimport time; time.sleep(100)")).await;
        assert!(reason.starts_with("it broke the protocol: "), "{forged}: {reason}");
    }
}

#[tokio::test]
async fn an_answer_that_is_there_before_its_request_is_none() {
    let mut session = session().await;
    // The driver's own channel, found where it is: the frame waits in the pipe for the next request.
    let code = "import gc, os, threading, time\n\
        channel = next(o for o in gc.get_objects() if type(o).__name__ == 'Channel')\n\
        def later():\n    while not os.path.exists('go'): time.sleep(0.001)\n    \
        channel.answer({'id': 5, 'event': 'done', 'files': []})\nthreading.Thread(target=later).start()";
    session.logs(code).await;
    std::fs::write(Path::new(session.data()).join("go"), "").expect("a file");
    // Either before the list was asked for, or instead of the answer.
    let mut error = None;
    for _ in 0..200 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        if let Err(reason) = session.ping().await {
            error = Some(reason);
            break;
        }
    }
    assert_eq!(error.as_deref(), Some("it broke the protocol: an answer belongs to no request"));
}

#[tokio::test]
async fn a_cell_that_knows_its_id_gains_nothing_by_it() {
    // It answers for the driver before its end, and is not at its end.
    let code = "import gc, time\nsession = next(o for o in gc.get_objects() if type(o).__name__ == 'Session')\n\
        session.channel.answer({'id': session.running, 'event': 'done', 'outcome': 'completed'})\ntime.sleep(100)";
    let mut held = session().await;
    assert_eq!(held.death(code).await, "it does not answer");
    // Twice: the second answer belongs to no request.
    let mut twice = session().await;
    let code = code.replace("time.sleep(100)", "");
    assert_eq!(twice.cell(&code).await.outcome, Outcome::Completed);
    let reason = twice.ping().await.expect_err("one answer too many");
    assert_eq!(reason, "it broke the protocol: an answer belongs to no request");
}

#[tokio::test]
async fn closed_descriptors_cost_no_more_than_the_session() {
    let mut standard = session().await;
    standard.logs("import os\nfor fd in (0, 1, 2): os.close(fd)").await;
    assert_eq!(standard.logs("print('back'); os.system('echo too');").await, "back\ntoo\n");
    for code in ["import os; os.closerange(3, 1000)", "import os; os.closerange(0, 1000)"] {
        let mut session = session().await;
        session.death(code).await;
    }
}

#[tokio::test]
async fn a_child_never_answers() {
    let mut session = session().await;
    for (code, logs) in [
        (
            "import os\npid = os.fork()\nif pid == 0: raise SystemExit(3)\nos.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])",
            "SystemExit: 3\n3\n",
        ),
        (
            "pid = os.fork()\nif pid: os.waitpid(pid, 0)\nprint('child' if pid == 0 else 'parent')",
            "child\nparent\n",
        ),
        (
            "import ctypes\npid = ctypes.CDLL(None).fork()\nif pid: os.waitpid(pid, 0)\nprint('child' if pid == 0 else 'parent')",
            "child\nparent\n",
        ),
    ] {
        assert_eq!(session.logs(code).await, logs, "{code}");
    }
    let raises = "pid = os.fork()\nif pid == 0: 1 / 0\nos.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])";
    let logs = session.logs(raises).await;
    assert!(logs.ends_with("ZeroDivisionError: division by zero\n1\n"), "{logs}");
    let answers = "import gc\npid = os.fork()\nif pid == 0:\n    next(o for o in gc.get_objects() if \
        type(o).__name__ == 'Channel').answer({'id': 1})\nos.waitpid(pid, 0);";
    let logs = session.logs(answers).await;
    assert!(logs.ends_with("OSError: [Errno 9] Bad file descriptor\n"), "{logs}");
    assert_eq!(session.logs("'one process'").await, "'one process'\n");
    // One that stays behind holds nothing up, neither now nor at the end.
    session.logs("import time\nif os.fork() == 0:\n    time.sleep(1000)").await;
    assert_eq!(session.logs("'goes on'").await, "'goes on'\n");
    assert_eq!(session.death("os._exit(0)").await, "it ended by itself with code 0");
}

#[tokio::test]
async fn a_flood_is_cut_and_held_in_no_memory() {
    let mut session = session().await;
    let code = "import sys\nfor n in range(300):\n    sys.stdout.write('x' * 100_000)\nprint('\\nthe end')";
    let executed = session.cell(code).await;
    assert!(executed.is_cut && executed.logs.len() < 40_000, "{}", executed.logs.len());
    assert!(executed.logs.contains(" bytes of output are left out here …]\n"));
    assert!(executed.logs.ends_with("\nthe end\n"));
    let endless = "while True: print('y' * 1000)";
    let executed = session.execute(endless, Duration::from_secs(3), pending()).await;
    assert_eq!((executed.outcome, executed.is_cut), (Outcome::TimedOut, true));
    assert!(!session.logs("'calm'").await.contains('y'));
}

#[tokio::test]
async fn the_next_cell_finds_what_it_needs() {
    let mut session = session().await;
    for code in [
        "import sys; sys.stdout.close(); sys.stderr = None; sys.stdin.close()",
        "sys.stdout = sys.stderr = object()",
        "sys.stdout.detach();",
        "import io; sys.stdout = io.TextIOWrapper(sys.stdout.buffer)",
        "import os, shutil; os.set_blocking(1, False)",
        "import builtins\nfor name in list(vars(builtins)):\n    if name not in ('KeyboardInterrupt', 'list', 'vars'): setattr(builtins, name, None)",
        "os.write = os.read = os.getpid = os.open = os.path.join = None",
        "sys.setrecursionlimit(60)",
        "sys.settrace(lambda *_: 1 / 0)",
        "sys.modules.clear()",
        "del sys.modules['__main__'] if '__main__' in sys.modules else None",
        "os.dup2(os.pipe()[0], 2)",
        "import signal; signal.set_wakeup_fd(-1)",
        "import gc; gc.disable(); gc.collect();",
        "exec('import _thread; _thread.start_new_thread = None')",
    ] {
        let executed = session.cell(code).await;
        assert!(!matches!(executed.outcome, Outcome::Died { .. }), "{code}: {executed:?}");
        assert_eq!(session.logs("print('there'); 1 + 1").await, "there\n2\n", "{code}");
    }
}

#[tokio::test]
async fn own_writers_are_flushed() {
    let mut session = session().await;
    let code = "import io, sys\nsys.stdout = io.TextIOWrapper(io.BufferedWriter(sys.stdout.buffer))\nprint('kept')\n'value'";
    assert_eq!(session.logs(code).await, "kept\n'value'\n");
    assert_eq!(session.logs("print('back')").await, "back\n");
}

#[tokio::test]
async fn a_call_that_is_given_up_ends_the_session() {
    let mut session = session().await;
    let data = session.data().to_owned();
    {
        let code = "open('begun', 'w').close()\nwhile True: pass";
        let begun = async {
            while !Path::new(&data).join("begun").exists() {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            executed = session.cell(code) => panic!("{executed:?}"),
            () = begun => {}
        }
    }
    assert_eq!(session.gone(), Some("a call was given up"));
    assert_eq!(session.ping().await, Err("a call was given up".to_owned()));
}

#[tokio::test]
async fn code_is_taken_as_it_is() {
    let mut session = session().await;
    assert!(session.failure("x = '\0'").await.contains("null bytes"));
    let long = format!("x = '{}'\nlen(x)", "y".repeat(3_000_000));
    assert_eq!(session.logs(&long).await, "3000000\n");
    session.failure(&"(".repeat(100_000)).await;
    session.failure(&format!("{}1{}", "[".repeat(150), "]".repeat(140))).await;
    assert_eq!(session.logs("1").await, "1\n");
}
