"""Tries to leave the sandbox in which it runs, and says what it could do: the server starts no other code where it could anything."""

import ctypes
import json
import os
import signal
import socket
import sys

secret, port, server, tier, tmp = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5]
libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWUSER, PR_SET_PDEATHSIG, PR_GET_PDEATHSIG = 0x10000000, 1, 2


def read(path):
    with open(path, "rb") as file:
        return file.read(1)


def succeeds(call):
    if call != 0:
        raise OSError(ctypes.get_errno(), "refused")


def fork():
    if os.fork() == 0:
        os._exit(0)


def connect():
    with socket.socket() as connection:
        connection.settimeout(2)
        connection.connect(("127.0.0.1", port))


def lose_its_tie():
    """Executing a file with capabilities undoes the tie to the server's life, also where it gives none."""
    tied = ctypes.c_int()
    succeeds(libc.prctl(PR_GET_PDEATHSIG, ctypes.byref(tied), 0, 0, 0))
    if tied.value == signal.SIGKILL:
        raise OSError("it is tied")


TRIES = {
    "read a file of the server": lambda: read(secret),
    "read the environment of the server": lambda: read(f"/proc/{server}/environ"),
    "signal the server": lambda: os.kill(server, 0),
    "connect to the server": connect,
    "write outside of its folder": lambda: open("/usr/locum-was-here", "w"),
    "mount a file system": lambda: succeeds(libc.mount(b"none", tmp.encode(), b"tmpfs", 0, None)),
    "make a namespace": lambda: succeeds(libc.unshare(CLONE_NEWUSER)),
    "outlive the server": lambda: succeeds(libc.prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0)),
    "be root": lambda: succeeds(os.geteuid()),
}
if tier == "landlock":
    TRIES["start a process"] = fork
    TRIES["run on after the server"] = lose_its_tie

could = []
for name, attempt in TRIES.items():
    try:
        attempt()
    except OSError:
        continue
    could.append(name)
with open("canary", "w") as file:
    file.write("alive")
works = read("canary") == b"a"
os.unlink("canary")
print(json.dumps({"could": could, "works": works}))
