//! What is left to the server where it is whom the kernel gives orphans to, as the first process of a container.

use super::*;

/// In a process of its own: the orphans of others are none of its business.
#[tokio::test]
async fn a_server_that_gets_orphans_buries_them() {
    let output = tokio::process::Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "sandbox::burying::a_first_process", "--ignored", "--test-threads=1"])
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, output).await.expect("it ends").expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{output:?}");
}

#[tokio::test]
#[ignore = "the test above runs it"]
async fn a_first_process() {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).expect("it gets orphans");
    let sandbox = sandbox(Mode::Namespaces).await;
    for program in
        ["pass", "import os; os._exit(3)", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"]
    {
        run(&sandbox, program, &[]).await;
    }
    drop(start(&sandbox, "import time; time.sleep(3600)", &[]).await);
    for _ in 0..600 {
        if children().is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("children are left: {:?}", children());
}

/// What the kernel says of each.
fn children() -> Vec<String> {
    let threads = std::fs::read_dir("/proc/self/task").expect("threads").flatten();
    let of = |thread: std::fs::DirEntry| std::fs::read_to_string(thread.path().join("children"));
    let lists: String = threads.map(|thread| of(thread).unwrap_or_default()).collect();
    let status = |child| std::fs::read_to_string(format!("/proc/{child}/stat"));
    lists.split_whitespace().filter_map(|child| status(child).ok()).collect()
}
