//! What a notebook does.

use super::*;

#[tokio::test]
async fn variables_live_on_and_the_last_value_is_shown() {
    let mut session = session().await;
    assert_eq!(session.logs("x = 41").await, "");
    assert_eq!(session.logs("x + 1").await, "42\n");
    assert_eq!(session.logs("_ * 2").await, "84\n");
    assert_eq!(session.logs("x\nx;").await, "");
    assert_eq!(session.logs("None").await, "");
    assert_eq!(session.logs("").await, "");
    assert_eq!(session.logs("def f(n):\n    return n * x\n").await, "");
    assert_eq!(session.logs("print('text'); f(2)").await, "text\n82\n");
    assert_eq!(session.logs("display(1, 'a')").await, "1\n'a'\n");
    assert_eq!(session.logs("'ü\\ud800'").await, "'ü\\ud800'\n");
    let pickled = "class A:\n    pass\nimport pickle\ntype(pickle.loads(pickle.dumps(A()))).__name__";
    assert_eq!(session.logs(pickled).await, "'A'\n");
    assert_eq!(session.logs("__name__").await, "'__main__'\n");
}

#[tokio::test]
async fn output_and_errors_come_in_their_order() {
    let mut session = session().await;
    let code = "import os, sys\nprint('a', end='')\nprint('b', file=sys.stderr, end='')\n\
        os.system('echo c; echo d >&2')\nos.write(1, b'e')\nsys.stdout.buffer.write(b'\\xff\\0f')\nprint('g')";
    assert_eq!(session.logs(code).await, "abc\nd\ne\u{fffd}\u{fffd}fg\n");
    let fails = session.failure("print('before'); sys.stdout.write('x'); 1 / 0").await;
    assert!(fails.starts_with("before\nxTraceback"), "{fails}");
}

#[tokio::test]
async fn a_traceback_shows_the_cells_own_lines_alone() {
    let mut session = session().await;
    session.logs("def f():\n    return [][1]").await;
    let logs = session.failure("\nf()").await;
    let expected = "Traceback (most recent call last):\n  File \"<cell 2>\", line 2, in <module>\n    f()\n  \
        File \"<cell 1>\", line 2, in f\n    return [][1]\n";
    assert!(logs.starts_with(expected), "{logs}");
    assert!(logs.ends_with("\nIndexError: list index out of range\n"), "{logs}");
    let logs = session.failure("x = (1 +").await;
    assert!(logs.starts_with("  File \"<cell 3>\", line 1\n    x = (1 +\n"), "{logs}");
    assert!(logs.ends_with("SyntaxError: '(' was never closed\n"), "{logs}");
    let endless = session.failure("def g(n):\n    return h(n)\ndef h(n):\n    return g(n)\ng(1)").await;
    assert!(endless.ends_with("RecursionError: maximum recursion depth exceeded\n"), "{endless}");
    assert!(endless.contains(" lines are left out]\n") && endless.lines().count() < 70, "{endless}");
    assert!(session.failure("raise KeyboardInterrupt").await.ends_with("\nKeyboardInterrupt\n"));
    assert_eq!(session.failure("exit(3)").await, "SystemExit: 3\n");
    assert_eq!(session.logs("print('leaves'); exit()").await, "leaves\n");
    assert_eq!(session.failure("bytearray(2**62)").await.lines().last(), Some("MemoryError"));
    let evil = "class E(BaseException):\n    def __str__(self):\n        raise E\nraise E";
    assert!(session.failure(evil).await.contains("<exception str() failed>"));
}

#[tokio::test]
async fn there_is_nobody_to_ask() {
    let mut session = session().await;
    assert!(session.failure("input('name? ')").await.ends_with("EOFError: EOF when reading a line\n"));
}

#[tokio::test]
async fn a_cancelled_cell_keeps_the_variables() {
    let mut session = session().await;
    let begun = session.data().to_owned() + "/begun";
    let code =
        "import time\nx = 7\nprint('begins')\nopen('begun', 'w').close()\nwhile True:\n    time.sleep(100)";
    let cancelled = async {
        while !Path::new(&begun).exists() {
            tokio::task::yield_now().await;
        }
    };
    let executed = session.execute(code, LONG, cancelled).await;
    assert_eq!(executed.outcome, Outcome::Interrupted);
    let ends = "    time.sleep(100)\nKeyboardInterrupt\n";
    assert!(executed.logs.starts_with("begins\n") && executed.logs.ends_with(ends), "{}", executed.logs);
    assert_eq!(session.logs("x").await, "7\n");
    // One that comes before the cell has begun, too; and nothing of it is left for the next.
    for _ in 0..20 {
        let executed = session.execute("while True: pass", LONG, async {}).await;
        assert_eq!(executed.outcome, Outcome::Interrupted);
    }
    assert_eq!(session.logs("x + 1").await, "8\n");
}

#[tokio::test]
async fn a_cancellation_at_any_moment_leaves_the_next_cell_alone() {
    let mut session = session().await;
    for n in 0..100 {
        let cancelled = tokio::time::sleep(Duration::from_micros(20 * n));
        let executed = session.execute("for _ in range(20_000): pass\nprint('end')", LONG, cancelled).await;
        let is_known = matches!(executed.outcome, Outcome::Completed | Outcome::Interrupted);
        assert!(is_known, "{n}: {executed:?}");
        assert_eq!(session.logs("print('next')").await, "next\n", "{n}");
    }
}

#[tokio::test]
async fn a_cell_has_its_time() {
    let mut session = session().await;
    let short = Duration::from_secs(3);
    let code = "x = 5\ntry:\n    while True:\n        len(str(x))\nfinally:\n    print('late')";
    let executed = session.execute(code, short, pending()).await;
    assert_eq!(executed.outcome, Outcome::TimedOut);
    assert!(executed.logs.starts_with("late\nTraceback"), "{}", executed.logs);
    assert_eq!(session.logs("x").await, "5\n");
    // One that does not heed it costs the session.
    let stubborn = "while True:\n    try:\n        while True:\n            len(str(1))\n    except BaseException:\n        print('no')";
    let executed = session.execute(stubborn, short, pending()).await;
    assert_eq!((executed.outcome, executed.logs.as_str()), (Outcome::TimedOut, "no\n"));
    assert_eq!(session.gone(), Some("it does not answer"));
    assert_eq!(session.cell("1").await.outcome, Outcome::Died { reason: "it does not answer".to_owned() });
}

#[tokio::test]
async fn a_signal_handler_of_a_cell_ends_with_it() {
    let mut session = session().await;
    session.logs("import signal; signal.signal(signal.SIGINT, signal.SIG_IGN);").await;
    let executed = session.execute("while True: pass", Duration::from_millis(500), pending()).await;
    assert_eq!((executed.outcome, session.gone()), (Outcome::TimedOut, None));
}

#[tokio::test]
async fn children_and_threads_work() {
    let mut session = session().await;
    let pool = "from multiprocessing import Pool\ndef square(n):\n    return n * n\n\
        with Pool(2) as pool:\n    print(pool.map(square, [1, 2, 3]))";
    assert_eq!(session.logs(pool).await, "[1, 4, 9]\n");
    let threads =
        "import threading\nt = threading.Thread(target=lambda: print('there'))\nt.start(); t.join()";
    assert_eq!(session.logs(threads).await, "there\n");
    let program = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'print(1)']).returncode";
    assert_eq!(session.logs(program).await, "1\n0\n");
}

#[tokio::test]
async fn output_between_cells_is_nobodys() {
    let mut session = session().await;
    let code = "import os, threading\ngo = threading.Event()\ndef late():\n    go.wait()\n    \
        for _ in range(100): os.write(2, b'late' * 4000)\n    done.set()\n\
        done = threading.Event()\nthreading.Thread(target=late, daemon=True).start()";
    session.logs(code).await;
    // It begins to write while no cell runs, fills the pipe and is held up, but not the session.
    session.logs("threading.Timer(0.05, go.set).start()").await;
    for _ in 0..20 {
        session.ping().await.expect("it answers");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // What the thread still writes during a cell is that cell's, which can push its middle out.
    let logs = session.logs("done.wait(); print('own')").await;
    assert!(logs.ends_with("own\n"), "{logs}");
    assert_eq!(session.logs("print('own')").await, "own\n");
}

#[tokio::test]
async fn figures_become_images() {
    if !has_module("matplotlib") {
        return;
    }
    let launcher = Plain { with_modules: true, ..Plain::default() };
    let mut session = Session::start(&launcher).await.expect("Python starts");
    let code =
        "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()\nprint('between')\nplt.bar([1], [2]);";
    let executed = session.cell(code).await;
    assert_eq!((executed.outcome, executed.logs.as_str()), (Outcome::Completed, "between\n"));
    assert_eq!(executed.images.len(), 2);
    assert!(executed.images.iter().all(|image| image.starts_with(b"\x89PNG") && image.len() > 1_000));
    // Each is shown once, and an empty one is none.
    assert_eq!(session.cell("plt.figure()").await.images.len(), 0);
    let many = "for n in range(22):\n    plt.figure(figsize=(1, 1)); plt.plot([n]); plt.show()";
    let executed = session.cell(many).await;
    assert_eq!(executed.images.len(), 20);
    assert_eq!(executed.logs, "[figures after the first 20 of a call are not shown]\n");
    let failed = session.cell("plt.plot([1]); 1 / 0").await;
    assert_eq!((failed.outcome, failed.images.len()), (Outcome::Failed, 1));
    assert_eq!(session.cell("plt.show()").await.images.len(), 0);
}

/// A picture that the cell saves itself is a file already.
#[tokio::test]
async fn figures_that_were_saved_are_not_shown_beside_their_files() {
    if !has_module("matplotlib") || !has_module("PIL") {
        return;
    }
    let launcher = Plain { with_modules: true, ..Plain::default() };
    let mut session = Session::start(&launcher).await.expect("Python starts");
    session.logs("import matplotlib.pyplot as plt, os, tempfile").await;
    for (code, shown) in [
        ("plt.plot([1]); plt.savefig('a.png')", 0),
        ("plt.plot([1]); plt.savefig('b.jpg', bbox_inches='tight', dpi=50); plt.show()", 0),
        ("fig, ax = plt.subplots(); ax.plot([1]); fig.savefig(os.path.abspath('c.PNG')); fig", 0),
        // What was drawn afterwards is in no file, nor is what was removed or lies elsewhere.
        ("plt.plot([1]); plt.savefig('d.png'); plt.plot([2])", 1),
        ("plt.plot([1]); plt.savefig('e.png'); os.remove('e.png')", 1),
        ("plt.plot([1]); plt.savefig(tempfile.mkdtemp() + '/f.png')", 1),
        ("plt.plot([1]); plt.savefig('g.pdf')", 1),
        ("fig, ax = plt.subplots(); ax.plot([1]); fig", 1),
        ("from PIL import Image; Image.new('RGB', (2, 2))", 1),
        ("from IPython.display import display; display(Image.new('RGB', (2, 2)), Image.new('L', (2, 2)))", 2),
    ] {
        let executed = session.cell(code).await;
        assert_eq!((executed.outcome, executed.images.len()), (Outcome::Completed, shown), "{code}");
    }
}

#[tokio::test]
async fn what_notebooks_understand_is_understood() {
    let mut session = session().await;
    for (code, logs) in [
        ("%matplotlib inline\n1", "1\n"),
        ("%%time\nfor n in range(2):\n    %precision 3\n    print(n)", "0\n1\n"),
        ("%time y = 5\ny", "5\n"),
        ("print('before')\n!echo 'one' two\n2", "before\none two\n2\n"),
        ("import asyncio\nasync def f():\n    await asyncio.sleep(0)\n    return 3\nx = await f()\nx", "3\n"),
        ("await f()", "3\n"),
        ("task = asyncio.get_event_loop().create_task(f())", ""),
        ("await task;", ""),
        ("from IPython.display import display; display(4)", "4\n"),
        ("'a\\n%b'", "'a\\n%b'\n"),
        ("\"\"\"\n%c\n\"\"\"", "'\\n%c\\n'\n"),
    ] {
        assert_eq!(session.logs(code).await, logs, "{code}");
    }
    // What is wrong is told as it was written.
    let failure = session.failure("%time x = 1\nx = (\n").await;
    assert!(
        failure.contains("line 2") && failure.contains("x = (") && failure.contains("SyntaxError"),
        "{failure}"
    );
    let failure = session.failure("await asyncio.sleep(0)\nawait g()").await;
    assert!(failure.contains("NameError") && !failure.contains("run_until_complete"), "{failure}");
}

#[tokio::test]
async fn what_cells_begin_with_is_imported_before() {
    let modules: Vec<_> =
        ["numpy", "pandas", "matplotlib"].into_iter().filter(|name| has_module(name)).collect();
    let launcher = Plain { with_modules: true, ..Plain::default() };
    let mut session = Session::start(&launcher).await.expect("Python starts");
    for module in &modules {
        let logs = session.logs(&format!("import sys; '{module}' in sys.modules")).await;
        assert_eq!(logs, "True\n", "{module}");
    }
    let missing = session.missing().unwrap_or_default();
    for module in ["numpy", "pandas", "matplotlib"] {
        assert_eq!(
            missing.contains(&format!("No module named '{module}'")),
            !modules.contains(&module),
            "{missing}"
        );
    }
    assert_eq!(session.list().await.expect("a list").entries, []);
    // A file of the session never stands in for a module, but can be one.
    session.logs("open('json.py', 'w').write('x = 1'); open('mine.py', 'w').write('y = 2');").await;
    assert_eq!(session.logs("import json, mine; hasattr(json, 'x'), mine.y").await, "(False, 2)\n");
}
