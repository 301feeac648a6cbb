//! Taking more than there is to take while the one who counts is made blind.

use super::*;

/// Ends the first thread of a process, by which the kernel shows it, and goes on in another.
const HEADLESS: &str = "
import ctypes, os, sys, threading, time
libc = ctypes.CDLL(None)
EXIT = {'x86_64': 60, 'aarch64': 93}[os.uname().machine]


def headless(work):
    threading.Thread(target=work).start()
    time.sleep(0.2)
    libc.syscall(ctypes.c_long(EXIT), 0)
";

/// In namespaces it is the memory of several processes, in the other tier files without a name.
#[tokio::test]
async fn processes_without_their_first_thread_are_counted() {
    const MEMORY: &str = "
def hold():
    held = bytearray(os.urandom(1 << 20) * 100)
    time.sleep(60)
    os._exit(len(held) & 1)


for nth in range(8):
    if os.fork() == 0:
        headless(hold)
time.sleep(60)
";
    const FILES: &str = "
def hold():
    for nth in range(30):
        file = os.open('file', os.O_CREAT | os.O_RDWR)
        os.unlink('file')
        for _ in range(4):
            os.write(file, os.urandom(1 << 20))
    time.sleep(60)
    os._exit(0)


headless(hold)
";
    for mode in TIERS {
        let (program, expected) = match mode {
            Mode::Landlock => (FILES, Ended::Disk),
            _ => (MEMORY, Ended::Memory),
        };
        let done = run(&sandbox(mode).await, &format!("{HEADLESS}{program}"), &[]).await;
        assert_eq!(done.ended, expected, "{}{}", done.said, done.complained);
    }
}

/// A table of files of a thread's own, and files that travel in a socket, are in no list.
#[tokio::test]
async fn files_cannot_be_where_nobody_looks() {
    const TRIES: &str = "
import array, ctypes, os, socket
libc = ctypes.CDLL(None, use_errno=True)
CLOSE_RANGE, UNSHARE = 436, 2
apart = libc.syscall(ctypes.c_long(CLOSE_RANGE), ctypes.c_uint(4000000000), ctypes.c_uint(4294967295), ctypes.c_uint(UNSHARE))
one, other = socket.socketpair()
with open('file', 'w') as file:
    try:
        one.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [file.fileno()]))])
        travels = True
    except PermissionError:
        travels = False
try:
    one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 24)
    grows = True
except PermissionError:
    grows = False
print(apart == 0, travels, grows)
";
    // Outside, all of it goes.
    let outside = std::process::Command::new("/usr/bin/python3")
        .args(["-I", "-S", "-c", TRIES])
        .current_dir(tempfile::tempdir().expect("a folder").path())
        .output()
        .expect("Python runs");
    assert_eq!(String::from_utf8_lossy(&outside.stdout), "True True True\n");
    for mode in TIERS {
        let done = run(&sandbox(mode).await, TRIES, &[]).await;
        // Within namespaces files are on a disk of their own wherever they travel.
        let expected = if mode == Mode::Landlock { "False False False\n" } else { "False True False\n" };
        assert_eq!(done.said, expected, "{}", done.complained);
    }
}

/// Room that is taken without writing anything is taken in no time.
#[tokio::test]
async fn room_is_not_taken_faster_than_it_is_written() {
    const TAKE: &str = "
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
with open('file', 'wb') as file:
    taken = libc.fallocate(file.fileno(), 0, ctypes.c_long(0), ctypes.c_long(1 << 20))
    print(taken, os.strerror(ctypes.get_errno()) if taken else '')
    os.posix_fallocate(file.fileno(), 0, 1 << 20)
    print(os.fstat(file.fileno()).st_size)
";
    for mode in TIERS {
        let done = run(&sandbox(mode).await, TAKE, &[]).await;
        let expected =
            if mode == Mode::Landlock { "-1 Operation not supported\n1048576\n" } else { "0 \n1048576\n" };
        assert_eq!(done.said, expected, "{}", done.complained);
    }
}

/// One that has ended and is not waited for shows no file systems.
#[tokio::test]
async fn empty_files_are_counted_beside_a_zombie() {
    const FILES: &str = "
import os, time
try:
    if os.fork() == 0:
        os._exit(0)
except OSError:
    pass
try:
    for nth in range(60_000):
        os.close(os.open(f'{nth}', os.O_CREAT | os.O_WRONLY))
except OSError as error:
    print(error.strerror)
time.sleep(60)
";
    for mode in TIERS {
        let done = run(&sandbox(mode).await, FILES, &[]).await;
        assert_eq!(done.ended, Ended::Disk, "{}{}", done.said, done.complained);
    }
}

/// The list of mappings is as long as the names in it, which are the code's own.
#[tokio::test]
async fn a_list_of_mappings_without_end_is_not_read() {
    const MAPPINGS: &str = "
import ctypes, os, time
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
for _ in range(12):
    os.mkdir('\\n' * 250)
    os.chdir('\\n' * 250)
file = os.open('\\n' * 250, os.O_CREAT | os.O_RDWR)
for nth in range(4_000):
    # Every other page, so that they stay apart.
    libc.mmap(None, ctypes.c_size_t(4096), 1, 2, file, ctypes.c_long(nth * 8192))
time.sleep(60)
";
    let sandbox = sandbox(Mode::Landlock).await;
    let done = run(&sandbox, MAPPINGS, &[]).await;
    assert_eq!(done.ended, Ended::Disk, "{}{}", done.said, done.complained);
}

/// In the tier without namespaces the process is Python and stays so.
#[tokio::test]
async fn no_other_program_takes_the_place_of_python() {
    const EXECUTE: &str = "
import os
for program in ('/usr/bin/env', '/bin/sh'):
    try:
        os.execv(program, [program, '--version'])
    except OSError as error:
        print(program, error.strerror, flush=True)
";
    let done = run(&sandbox(Mode::Landlock).await, EXECUTE, &[]).await;
    assert_eq!(
        done.said, "/usr/bin/env Permission denied\n/bin/sh Permission denied\n",
        "{}",
        done.complained
    );
}
