"""Tries to get out of a sandbox in many ways. An attack that gets something returns what; one that is refused raises an OSError, or
returns nothing. What it gets is printed, by attack, as JSON.

The same program outside of a sandbox shows that the attacks are real ones: those that are marked succeed there.
"""

import ctypes
import fcntl
import glob
import json
import os
import resource
import signal
import socket
import struct
import subprocess
import sys

about = json.loads(sys.argv[1])
IS_ALONE = about["tier"] == "landlock"
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
ATTACKS = []


def attack(category, control=False):
    """`control`: it succeeds outside."""

    def add(function):
        ATTACKS.append((category, control, function))
        return function

    return add


def call(number, *arguments):
    """A system call; whether it succeeded."""
    arguments = [argument if isinstance(argument, bytes) else ctypes.c_long(argument) for argument in arguments]
    result = libc.syscall(ctypes.c_long(number), *arguments)
    return result >= 0


def content(path):
    with open(path, "rb") as file:
        return file.read(4096)


def writes(path, mode="ab"):
    with open(path, mode) as file:
        file.write(b"x")
    return path


# --- Secrets ---


@attack("secrets")
def environment():
    return [name for name, value in os.environ.items() if about["secret"] in value or name.startswith("LOCUM")]


@attack("secrets", control=True)
def environment_of_any_process():
    found = []
    for path in glob.glob("/proc/[0-9]*/environ"):
        try:
            if about["secret"].encode() in content(path):
                found.append(path)
        except OSError:
            pass
    return found


@attack("secrets", control=True)
def environment_of_the_server():
    return content(f"/proc/{about['server']}/environ")


@attack("secrets", control=True)
def command_line_of_the_server():
    return content(f"/proc/{about['server']}/cmdline")


@attack("secrets", control=True)
def file_that_everybody_may_read():
    return content(about["file"])


@attack("secrets", control=True)
def file_that_everybody_may_write():
    return writes(about["file"])


@attack("secrets")
def passwords_of_the_host():
    return content("/etc/shadow")


@attack("secrets", control=True)
def folder_of_the_server():
    return os.listdir(about["folder"])


@attack("secrets", control=True)
def file_by_a_symbolic_link():
    os.symlink(about["file"], "link")
    return content("link")


@attack("secrets", control=True)
def file_by_a_hard_link():
    os.link(about["file"], "hard")
    return content("hard")


@attack("secrets", control=True)
def file_by_climbing():
    return content("../" * 40 + about["file"].lstrip("/"))


@attack("secrets")
def file_by_the_root_of_a_process():
    found = []
    for process in ("1", "self", str(about["server"])):
        for way in ("root", "cwd"):
            try:
                found.append(content(f"/proc/{process}/{way}" + about["file"]))
            except OSError:
                pass
    return found


@attack("secrets")
def open_files_of_the_server():
    return os.listdir(f"/proc/{about['server']}/fd")


@attack("secrets")
def memory_of_the_server():
    with open(f"/proc/{about['server']}/mem", "rb") as file:
        file.seek(0x1000)
        return True


@attack("secrets", control=True)
def maps_of_the_server():
    return content(f"/proc/{about['server']}/maps")


@attack("secrets", control=True)
def files_of_another_session():
    return content(about["neighbour_file"])


@attack("secrets")
def inherited_files():
    found = []
    for number in range(3, 256):
        try:
            fcntl.fcntl(number, fcntl.F_GETFD)
            found.append(number)
        except OSError:
            pass
    return found


@attack("secrets", control=True)
def shared_memory_of_the_host():
    return content(about["shared_memory"])


@attack("secrets")
def memory_of_the_kernel():
    return content("/proc/kcore") or content("/dev/mem") or content("/dev/kmem")


@attack("secrets")
def messages_of_the_kernel():
    return call(103, 3, b" " * 4096, 4096) or content("/dev/kmsg")


@attack("secrets")
def segments_of_shared_memory():
    return call(29, 0x4C4F4355, 4096, 0o1666)


@attack("secrets")
def queues_of_messages():
    return call(68, 0x4C4F4355, 0o1666) or call(240, b"/locum", os.O_RDWR | os.O_CREAT, 0o666, 0)


@attack("secrets")
def semaphores():
    return call(64, 0x4C4F4355, 1, 0o1666)


@attack("secrets")
def keys_of_the_kernel():
    return call(250, 0, -3, 1) or call(248, b"user", b"name", b"value", 5, -3)


# --- Processes ---


@attack("processes", control=True)
def signal_to_the_server():
    os.kill(about["server"], 0)
    return True


@attack("processes", control=True)
def signal_to_another_session():
    os.kill(about["neighbour"], 0)
    return True


@attack("processes")
def signal_to_all():
    if not IS_ALONE:
        return None  # All that it sees are its own.
    os.kill(-1, 0)
    return True


@attack("processes")
def signal_by_queue():
    return call(129, about["server"], 0, b"\0" * 128)


@attack("processes", control=True)
def handle_of_the_server():
    return os.pidfd_open(about["server"])


@attack("processes")
def owner_of_signals():
    read, write = os.pipe()
    try:
        fcntl.fcntl(read, fcntl.F_SETOWN, about["server"])
        return fcntl.fcntl(read, fcntl.F_GETOWN)
    finally:
        os.close(read)
        os.close(write)


@attack("processes")
def tracing_the_server():
    return call(101, 16, about["server"], 0, 0)


@attack("processes")
def tracing_another_session():
    return call(101, 16, about["neighbour"], 0, 0)


@attack("processes")
def reading_the_memory_of_another_process():
    local, remote = struct.pack("QQ", 0, 1), struct.pack("QQ", 0x1000, 1)
    return call(310, about["server"], local, 1, remote, 1, 0)


@attack("processes")
def writing_the_memory_of_another_process():
    local, remote = struct.pack("QQ", 0, 1), struct.pack("QQ", 0x1000, 1)
    return call(311, about["neighbour"], local, 1, remote, 1, 0)


@attack("processes")
def comparing_processes():
    return call(312, about["server"], about["server"], 0, 0, 0)


@attack("processes")
def priority_of_the_server():
    os.setpriority(os.PRIO_PROCESS, about["server"], 10)
    return True


@attack("processes")
def limits_of_the_server():
    resource.prlimit(about["server"], resource.RLIMIT_NOFILE)
    return True


@attack("processes", control=True)
def processors_of_the_server():
    os.sched_setaffinity(about["server"], os.sched_getaffinity(0))
    return True


@attack("processes")
def own_priority():
    os.nice(-1)
    return True


@attack("processes")
def own_limits():
    raised = []
    for name in ("RLIMIT_AS", "RLIMIT_NPROC", "RLIMIT_FSIZE", "RLIMIT_NOFILE", "RLIMIT_CPU"):
        try:
            resource.setrlimit(getattr(resource, name), (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            raised.append(name)
        except (OSError, ValueError):
            pass
    return raised


@attack("processes", control=True)
def outliving_the_server():
    return call(157, 1, 0, 0, 0, 0)


@attack("processes")
def a_process():
    if not IS_ALONE:
        return None  # It may have some.
    if os.fork() == 0:
        os._exit(0)
    return True


@attack("processes")
def a_program():
    if not IS_ALONE:
        return None
    return subprocess.run(["/bin/true"], check=False).returncode == 0


# --- Network ---


def connects(family, kind, address, protocol=0):
    with socket.socket(family, kind, protocol) as connection:
        connection.settimeout(2)
        connection.connect(address)
        return True


@attack("network", control=True)
def tcp_to_the_server():
    return connects(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", about["tcp"]))


@attack("network")
def tcp_to_the_metadata_of_a_cloud():
    return connects(socket.AF_INET, socket.SOCK_STREAM, ("127.169.254.169", about["tcp"]))


@attack("network", control=True)
def udp_to_the_server():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        return sender.sendto(b"x", ("127.0.0.1", about["udp"]))


@attack("network", control=True)
def tcp_from_outside():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        return True


@attack("network")
def tcp_over_ipv6():
    return connects(socket.AF_INET6, socket.SOCK_STREAM, ("::1", about["tcp"]))


@attack("network", control=True)
def socket_with_a_path():
    return connects(socket.AF_UNIX, socket.SOCK_STREAM, about["socket"])


@attack("network", control=True)
def abstract_socket():
    return connects(socket.AF_UNIX, socket.SOCK_STREAM, "\0" + about["abstract"])


@attack("network", control=True)
def datagram_to_a_path():
    sender, receiver = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with sender, receiver:
        return sender.sendto(b"x", about["datagrams"])


@attack("network")
def raw_packets():
    return socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)


@attack("network")
def frames():
    return socket.socket(socket.AF_PACKET, socket.SOCK_RAW)


@attack("network", control=True)
def netlink():
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)


@attack("network")
def sockets_of_other_kinds():
    opened = []
    for family in range(2, 46):
        if family == socket.AF_UNIX:
            continue
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
            try:
                socket.socket(family, kind).close()
                opened.append((family, kind))
            except OSError:
                pass
    return opened


# --- Ways out ---


@attack("escapes")
def mounting():
    return libc.mount(b"none", about["data"].encode(), b"tmpfs", 0, None) == 0 or call(430, b"tmpfs", 0)


@attack("escapes")
def unmounting():
    return libc.umount2(b"/mnt/data", 2) == 0 or libc.umount2(b"/", 2) == 0


@attack("escapes")
def writable_again():
    return libc.mount(b"none", b"/", None, 32 | 4096, None) == 0


@attack("escapes")
def another_root():
    return call(155, b".", b".") or libc.chroot(b".") == 0


@attack("escapes")
def namespaces():
    return [flag for flag in (0x10000000, 0x20000, 0x40000000, 0x20000000, 0x8000000, 0x4000000) if libc.unshare(flag) == 0]


@attack("escapes")
def a_process_in_namespaces():
    result = libc.syscall(ctypes.c_long(56), ctypes.c_long(0x10000000 | signal.SIGCHLD), 0, 0, 0, 0)
    if result == 0:
        os._exit(0)
    return result > 0


@attack("escapes")
def a_process_in_namespaces_by_clone3():
    arguments = struct.pack("8Q", 0x10000000, 0, 0, 0, signal.SIGCHLD, 0, 0, 0)
    result = libc.syscall(ctypes.c_long(435), arguments, ctypes.c_long(len(arguments)))
    if result == 0:
        os._exit(0)
    return result > 0


@attack("escapes")
def namespaces_of_the_server():
    opened = os.open(f"/proc/{about['server']}/ns/mnt", os.O_RDONLY)
    return call(308, opened, 0)


@attack("escapes")
def files_by_their_handle():
    handle = struct.pack("Ii", 128, 0) + bytes(128)
    return call(303, -100, about["file"].encode(), handle, b"\0" * 8, 0) or call(304, -100, handle, 0)


@attack("escapes")
def programs_of_the_kernel():
    return call(321, 0, bytes(128), 128)


@attack("escapes")
def events_of_the_kernel():
    return call(298, struct.pack("II", 1, 128) + bytes(120), 0, -1, -1, 0)


@attack("escapes")
def faults_of_memory():
    return call(323, 1) or call(323, 0)


@attack("escapes", control=True)
def requests_in_rings():
    return call(425, 8, bytes(120))


@attack("escapes", control=True)
def files_in_memory():
    return os.memfd_create("x")


@attack("escapes")
def calls_of_another_abi():
    # getpid of x32.
    return call(0x40000000 | 39)


@attack("escapes")
def typing_into_a_terminal():
    return libc.ioctl(0, 0x5412, b"x") == 0 or libc.ioctl(0, 0x541C, b"\x02") == 0


@attack("escapes")
def devices():
    opened = []
    for path in ("/dev/sda", "/dev/vda", "/dev/kvm", "/dev/fuse", "/dev/net/tun", "/dev/loop-control", "/dev/mapper/control"):
        try:
            opened.append(os.open(path, os.O_RDONLY))
        except OSError:
            pass
    return opened


@attack("escapes")
def a_device_of_its_own():
    os.mknod("device", 0o020666, os.makedev(1, 1))
    return True


@attack("escapes", control=True)
def a_pipe_with_a_name():
    os.mkfifo("pipe")
    return True


@attack("escapes")
def becoming_root():
    became = []
    for name, change in (("uid", lambda: os.setuid(0)), ("gid", lambda: os.setgid(0)), ("groups", lambda: os.setgroups([0]))):
        try:
            change()
            became.append(name)
        except OSError:
            pass
    return became


@attack("escapes")
def programs_of_root():
    became = []
    for program in (["su", "-c", "id -u"], ["sudo", "-n", "id", "-u"], ["newgrp", "root"], ["mount", "--bind", "/", "/tmp"]):
        try:
            done = subprocess.run(program, stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=False)
            if done.returncode == 0:
                became.append(program)
        except (OSError, subprocess.SubprocessError):
            pass
    return became


@attack("escapes")
def files_of_the_system():
    written = []
    for path in ("/usr/x", "/usr/lib/x", "/etc/x", "/run/x", "/run/locum", "/bin/x", "/lib/x", "/x", "/mnt/x", os.__file__, json.__file__, sys.executable, "/dev/x"):
        try:
            written.append(writes(path))
        except OSError:
            pass
    return written


@attack("escapes")
def settings_of_the_kernel():
    written = []
    for path in ("/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/proc/sys/vm/overcommit_memory", "/sys/kernel/uevent_helper", "/sys/fs/cgroup/x"):
        try:
            written.append(writes(path, "wb"))
        except OSError:
            pass
    return written


@attack("escapes", control=True)
def a_program_that_it_has_written():
    with open("/usr/bin/true", "rb") as source, open("program", "wb") as target:
        target.write(source.read())
    os.chmod("program", 0o755)
    return subprocess.run(["./program"], check=False).returncode == 0


@attack("escapes")
def the_machine():
    return (
        call(169, 0xFEE1DEAD, 672274793, 0)  # Ctrl-Alt-Del off
        or call(170, b"x", 1)
        or call(164, 0, 0)
        or call(246, 0, 0, 0, 0)
        or call(175, b"", 0, b"")
        or call(163, 0)
        or call(167, b"x", 0)
    )


@attack("escapes", control=True)
def modes_of_files_of_others():
    os.chmod(about["file"], 0o777)
    return os.stat(about["file"]).st_mode & 0o777 == 0o777


@attack("escapes", control=True)
def cutting_off_files_of_others():
    return libc.truncate(about["file"].encode(), 0) == 0


@attack("escapes", control=True)
def renaming_files_of_others():
    os.rename(about["file"], about["file"] + ".x")
    return True


def main():
    got = {}
    for category, control, function in ATTACKS:
        if about["tier"] == "outside" and not control:
            continue
        try:
            result = function()
        except (OSError, ValueError):
            result = None
        got[function.__name__] = {"category": category, "got": repr(result)[:200] if result else None}
    print(json.dumps(got))


main()
