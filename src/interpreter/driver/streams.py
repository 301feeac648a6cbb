"""Runs the cells of a session: started by Locum inside a sandbox, never outside of one.

It is asked on standard input and answers on standard output, in frames: two lengths in bytes (big-endian, 32 bits each), a JSON
object, and bytes. What cells write to their standard output and standard error goes, in its order, to the standard error of
this process, between two marks that the server chooses for each cell. The server believes nothing of all this: cells run in
this very process and can do all that it can.

The working folder is the folder of the session's files; the arguments name modules that are imported before the first cell.
"""

import ast
import builtins
import functools
import importlib.util
import io
import json
import linecache
import os
import re
import signal
import stat
import struct
import sys
import tempfile
import traceback
import types
import warnings
import weakref
from _thread import start_new_thread
from os import _exit, close, dup, dup2, fstat, getpid, open as open_file, read, set_blocking, write
from queue import SimpleQueue
from threading import get_ident

# The functions below look names up here, whatever a cell does to `builtins`.
BUILTINS = __builtins__ = dict(vars(builtins))
# Cells have a `__main__` of their own; this one must not end with its place in `sys.modules`.
DRIVER = sys.modules["__main__"]

HEAD = struct.Struct(">II")
# Written in C whole, where `json.loads` uses `builtins`.
DECODE = json.JSONDecoder().raw_decode
# Lines of a traceback; a longer one is cut in its middle.
LINES = 60
# Bytes of the path of a file that is listed, and entries of folders that are looked at.
PATH = 1024
ENTRIES = 20_000
# A file that is being put; names that begin so are not listed.
PUTTING = ".put"
PICTURES = (".png", ".jpg", ".jpeg")
# The latest time that fits into 64 bits of nanoseconds; a cell can set any.
TIME = 2**63 - 1
# Characters of why a module cannot be imported.
REASON = 300
RECURSION = sys.getrecursionlimit()
# `await` outside of a function.
AWAIT, COROUTINE = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, 0x80
# `%matplotlib inline`, `%%time` and `!ls`, as notebooks have them.
COMMAND = re.compile(r"^([ \t]*)([%!])(.*)$", re.MULTILINE)


def write_all(descriptor, content):
    rest = memoryview(content)
    while rest:
        try:
            rest = rest[write(descriptor, rest) :]
        except BlockingIOError:
            # A cell made the pipe so for itself.
            set_blocking(descriptor, True)


class Channel:
    """The two ends of the server, out of the way of what cells do with the standard streams."""

    def __init__(self):
        self.asked, self.answers = dup(0), dup(1)

    def read(self, count):
        parts = []
        while count:
            part = read(self.asked, min(count, 1 << 20))
            if not part:
                raise EOFError
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def ask(self):
        """The next request and its bytes."""
        length, extra = HEAD.unpack(self.read(HEAD.size))
        return DECODE(self.read(length).decode())[0], self.read(extra)

    def answer(self, frame, content=b""):
        body = json.dumps(frame).encode()
        write_all(self.answers, HEAD.pack(len(body), len(content)) + body + content)

    def close(self):
        for descriptor in (self.asked, self.answers):
            try:
                close(descriptor)
            except OSError:
                pass


class Pipe(io.FileIO):
    """A standard stream's end: unlike its parent's, its `write` writes all of it."""

    def write(self, content):
        content = memoryview(content).cast("B")
        write_all(self.fileno(), content)
        return len(content)


class Streams:
    """The standard streams of cells. Nothing is kept back, so that the order of output and errors is that of the cell."""

    def __init__(self):
        self.nothing = open_file(os.devnull, os.O_RDONLY)
        self.output = dup(2)
        self.stdin = self.stdout = self.stderr = None

    def prepare(self):
        """Undoes what an earlier cell did: closed descriptors, objects of its own."""
        # A writer that was put around one of ours closes it when it goes.
        sys.stdin = sys.stdout = sys.stderr = None
        dup2(self.nothing, 0)
        # One pipe for both: their order stays.
        dup2(self.output, 1)
        dup2(self.output, 2)
        if is_closed(self.stdin):
            self.stdin = open(0, encoding="utf-8", closefd=False)
        if is_closed(self.stdout):
            self.stdout = self.writer(1)
        if is_closed(self.stderr):
            self.stderr = self.writer(2)
        sys.stdin = sys.__stdin__ = self.stdin
        sys.stdout = sys.__stdout__ = self.stdout
        sys.stderr = sys.__stderr__ = self.stderr

    def writer(self, descriptor):
        pipe = Pipe(descriptor, "w", closefd=False)
        return io.TextIOWrapper(pipe, encoding="utf-8", errors="backslashreplace", write_through=True)

    def say(self, text):
        write_all(self.output, (text + "\n").encode("utf-8", "backslashreplace"))

    def flush(self):
        """Cells may have put writers of their own in place of ours."""
        for stream in (sys.stdout, sys.stderr):
            if stream is not self.stdout and stream is not self.stderr:
                try:
                    stream.flush()
                except Exception:
                    pass


def is_closed(stream):
    try:
        return stream is None or stream.closed
    except ValueError:
        # Detached.
        return True


