//! Secrets, other processes, the network, and ways out: one program tries them all.

use std::collections::BTreeMap;

use serde_json::Value;

use super::targets::Targets;
use super::*;

const ATTACKS: &str = include_str!("attacks.py");

#[tokio::test]
#[cfg(target_arch = "x86_64")]
async fn attacks_get_nothing() {
    for mode in TIERS {
        let sandbox = sandbox(mode).await;
        let targets = Targets::make(&sandbox).await;
        let attacks = assert_nothing_is_got(&sandbox, targets).await;
        document(&attacks);
    }
}

/// The list of attacks in the documentation is that of the program.
fn document(attacks: &serde_json::Map<String, Value>) {
    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/sandbox.md");
    const END: &str = "<!-- attacks end -->";
    let mut of: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, result) in attacks {
        let category = result["category"].as_str().expect("a category");
        of.entry(category).or_default().push(name.replace('_', " "));
    }
    let list: String = of
        .iter()
        .map(|(category, names)| format!("- **{category}** ({}): {}\n", names.len(), names.join("; ")))
        .collect();
    let text = std::fs::read_to_string(FILE).expect("the documentation");
    let (head, rest) = text.split_once("writes them -->\n").expect("a beginning");
    let (found, tail) = rest.split_once(END).expect("an end");
    if std::env::var_os("LOCUM_WRITE").is_some_and(|value| value == "1") {
        std::fs::write(FILE, format!("{head}writes them -->\n{list}{END}{tail}")).expect("it is written");
        return;
    }
    assert_eq!(found, list, "docs/sandbox.md lists other attacks; LOCUM_WRITE=1 renews it");
}

/// Returns what was tried.
pub async fn assert_nothing_is_got(
    sandbox: &Sandbox,
    mut targets: Targets,
) -> serde_json::Map<String, Value> {
    let tier = sandbox.tier();
    let about = targets.describe(&tier.to_string(), "/mnt/data").to_string();
    let done = run(sandbox, ATTACKS, &[about]).await;
    let got: Value =
        serde_json::from_str(&done.said).unwrap_or_else(|_| panic!("{tier}: {}", done.complained));
    let Value::Object(got) = got else { panic!("an object") };
    assert!(got.len() >= 80, "{tier}: {} attacks", got.len());
    let succeeded: Vec<_> = got.iter().filter(|(_, result)| !result["got"].is_null()).collect();
    assert!(succeeded.is_empty(), "{tier}: {succeeded:?}");
    targets.assert_whole();
    got
}

/// The same program where nothing holds it.
#[tokio::test]
#[cfg(target_arch = "x86_64")]
async fn the_same_attacks_succeed_outside() {
    // In the other tier the files of a session are none of the host's.
    let targets = Targets::make(&sandbox(Mode::Landlock).await).await;
    let about = targets.describe("outside", "/tmp");
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = tokio::process::Command::new("/usr/bin/python3");
    command.args(["-I", "-S", "-c", ATTACKS, &about.to_string()]).current_dir(folder.path());
    let output = command.output().await.expect("Python runs");
    let got: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let got = got.as_object().expect("an object");
    let failed: Vec<_> =
        got.iter().filter(|(_, result)| result["got"].is_null()).map(|(name, _)| name).collect();
    assert!(got.len() >= 20 && failed.is_empty(), "{failed:?} of {}", got.len());
}

/// An instruction of an older ABI has other numbers of system calls, and no filter for them: it ends the process.
#[tokio::test]
#[cfg(target_arch = "x86_64")]
async fn calls_of_32_bits_end_the_process() {
    const CALL: &str = "
import ctypes, mmap
code = bytes.fromhex('b814000000cd80c3')  # mov eax, 20 (getpid); int 0x80; ret
memory = mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
memory.write(code)
function = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(memory)))
print('it called', function())
";
    for mode in TIERS {
        let done = run(&sandbox(mode).await, CALL, &[]).await;
        assert!(!done.said.contains("it called"), "{mode:?}: {}", done.said);
        assert!(matches!(done.ended, Ended::Signalled(_)), "{mode:?}: {:?}", done.ended);
    }
}
