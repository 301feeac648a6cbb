//! Taking more than there is to take where it is not seen: files without a name, in folders too deep or closed to be looked
//! into, and memory that is in no process's books.

use super::*;

/// 64 MiB in files that have no name any more, of which nothing but their descriptors, or their pages, is left.
const NAMELESS: &str = "
import mmap, os, sys, time
kept = []
try:
    for nth in range(8):
        file = os.open('file', os.O_CREAT | os.O_RDWR)
        os.unlink('file')
        for _ in range(8):
            os.write(file, os.urandom(1 << 20))
        if sys.argv[1] == 'mapped':
            # The smallest part; Python's own mapping would keep a descriptor.
            import ctypes
            libc = ctypes.CDLL(None, use_errno=True)
            libc.mmap.restype = ctypes.c_void_p
            address = libc.mmap(None, ctypes.c_size_t(4096), 1, 2, file, ctypes.c_long(0))
            assert address != ctypes.c_void_p(-1).value
            os.close(file)
except OSError as error:
    print(error.strerror, flush=True)
    sys.exit()
print('written', flush=True)
while True:
    time.sleep(0.01)
";

#[tokio::test]
async fn files_without_a_name_count() {
    for mode in TIERS {
        let sandbox = sandbox(mode).await;
        for how in ["open", "mapped"] {
            let done = run(&sandbox, NAMELESS, &[how.to_owned()]).await;
            match mode {
                Mode::Landlock => {
                    assert_eq!(done.ended, Ended::Disk, "{how}: {}{}", done.said, done.complained)
                }
                _ => assert_eq!(done.said.trim(), "No space left on device", "{how}: {}", done.complained),
            }
        }
    }
}

/// Deeper than a path can be long: what is written there is found by no path.
const DEEP: &str = "
import os, sys, time
try:
    for _ in range(100):
        os.mkdir('n' * 200)
        os.chdir('n' * 200)
    for nth in range(8):
        with open(f'file-{nth}', 'wb') as file:
            file.write(os.urandom(8 << 20))
except OSError as error:
    print(error.strerror, flush=True)
    sys.exit()
print('written', flush=True)
while True:
    time.sleep(0.01)
";

#[tokio::test]
async fn folders_too_deep_to_be_looked_into_count() {
    for mode in TIERS {
        let options = options(mode);
        let parent = options.folder.clone();
        let sandbox = Sandbox::probe(options).await.unwrap_or_else(|refusal| panic!("{refusal}"));
        let sandboxed = start(&sandbox, DEEP, &[]).await;
        let data = sandboxed.data.clone();
        let done = finish(sandboxed).await;
        match mode {
            Mode::Landlock => {
                assert_eq!(done.ended, Ended::Disk, "{}{}", done.said, done.complained);
                until_removed(&data).await;
            }
            _ => assert_eq!(done.said.trim(), "No space left on device", "{}", done.complained),
        }
        let _ = std::fs::remove_dir(parent);
    }
}

/// A folder that its own maker may only pass through: the server, where it is the same user, cannot look into it.
const CLOSED: &str = "
import os, sys, time
os.mkdir('closed', 0o300)
for nth in range(8):
    with open(f'closed/file-{nth}', 'wb') as file:
        file.write(os.urandom(8 << 20))
print('written', flush=True)
while True:
    time.sleep(0.01)
";

/// Where the server is the same user as its sessions.
pub async fn assert_closed_folders_count(sandbox: &Sandbox) {
    let sandboxed = start(sandbox, CLOSED, &[]).await;
    let data = sandboxed.data.clone();
    let done = finish(sandboxed).await;
    assert_eq!(done.ended, Ended::Disk, "{}{}", done.said, done.complained);
    until_removed(&data).await;
}

async fn until_removed(data: &std::path::Path) {
    let folder = data.parent().expect("the folder of the session");
    for _ in 0..600 {
        if !folder.exists() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{} is still there", folder.display());
}

/// Four times 256 MiB, which are in no process's books as soon as the kernel is told that they are not needed at the moment.
const FORGOTTEN: &str = "
import mmap, os, signal, sys
def keep(memory):
    for place in range(0, len(memory), 4096):
        memory[place] = 1
    memory.madvise(mmap.MADV_DONTNEED)
try:
    for _ in range(4):
        if sys.argv[1] == 'anonymous':
            memory = mmap.mmap(-1, 256 << 20)
        else:
            memory = mmap.mmap(os.open('/dev/zero', os.O_RDWR), 256 << 20)
        if os.fork() == 0:
            keep(memory)
            signal.pause()
        memory.close()
except OSError as error:
    print(error.strerror, flush=True)
    sys.exit()
print('kept', flush=True)
signal.pause()
";

#[tokio::test]
async fn memory_of_nobody_is_not_to_be_had() {
    for mode in TIERS {
        let sandbox = sandbox(mode).await;
        for what in ["anonymous", "zero"] {
            let done = run(&sandbox, FORGOTTEN, &[what.to_owned()]).await;
            let refused = ["Operation not permitted", "Permission denied"].contains(&done.said.trim());
            assert!(refused, "{mode:?}, {what}: {}{}", done.said, done.complained);
        }
    }
}
