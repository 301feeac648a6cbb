"""Runs the cells of a session: started by Locum inside a sandbox, never outside of one.

It is asked on standard input and answers on standard output, in frames: two lengths in bytes (big-endian, 32 bits each), a JSON
object, and bytes. What cells write to their standard output and standard error goes, in its order, to the standard error of
this process, between two marks that the server chooses for each cell. The server believes nothing of all this: cells run in
this very process and can do all that it can.

The working folder is the folder of the session's files; the arguments name modules that are imported before the first cell.
"""

import ast
import builtins
import io
import json
import linecache
import os
import signal
import stat
import struct
import sys
import tempfile
import traceback
import types
import warnings
from _thread import start_new_thread
from os import _exit, chmod, close, dup, dup2, fstat, getpid, open as open_file, read, set_blocking, write
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
ENTRIES = 10_000
# The latest time that fits into 64 bits of nanoseconds; a cell can set any.
TIME = 2**63 - 1
# Characters of why a module cannot be imported.
REASON = 300
RECURSION = sys.getrecursionlimit()


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


class Figures:
    """Figures of matplotlib, which are shown where a cell asks for it, and at its end."""

    def __init__(self, channel, streams):
        self.channel, self.streams = channel, streams
        self.request, self.shown, self.left = None, 0, 0

    def begin(self, request):
        self.request, self.shown, self.left = request, 0, request["image_bytes"]

    def end(self):
        self.request = None

    def prepare(self):
        """Where matplotlib is there, `show` shows here."""
        pyplot = sys.modules.get("matplotlib.pyplot")
        if pyplot is None:
            return

        def show(*_arguments, **_options):
            self.flush()

        pyplot.show = show

    def flush(self):
        pyplot = sys.modules.get("matplotlib.pyplot")
        if pyplot is None or self.request is None:
            return
        for number in pyplot.get_fignums():
            figure = pyplot.figure(number)
            try:
                if figure.get_axes() or figure.texts or figure.images:
                    self.show(figure)
            finally:
                pyplot.close(figure)

    def show(self, figure):
        most = self.request["images"]
        if self.shown >= most:
            if self.shown == most:
                self.streams.say(f"[figures after the first {most} of a call are not shown]")
                self.shown += 1
            return
        image = io.BytesIO()
        figure.savefig(image, format="png", bbox_inches="tight")
        content = image.getvalue()
        if len(content) > self.left:
            self.streams.say(f"[a figure of {len(content)} bytes is not shown: {self.left} are left to this call]")
            return
        self.shown += 1
        self.left -= len(content)
        self.channel.answer({"id": self.request["id"], "event": "image"}, content)


class Session:
    def __init__(self):
        self.channel, self.streams = Channel(), Streams()
        self.figures = Figures(self.channel, self.streams)
        self.folder = os.getcwd()
        self.requests = SimpleQueue()
        self.process, self.thread = getpid(), get_ident()
        # The ids of the cell that runs and may be interrupted, and of the one that shall be.
        self.running = self.condemned = None
        self.cells = 0
        # Code lives in a real `__main__`: pickle and multiprocessing look its functions up there.
        self.module = types.ModuleType("__main__")
        self.module.__builtins__ = builtins
        self.module.display = self.display
        os.register_at_fork(after_in_child=self.channel.close)
        # That thread is ours, waits for a request, and holds no lock that a child could miss.
        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)

    def import_modules(self, names):
        """Which cannot be imported, and why; a cell that wants one of them is told by itself."""
        broken = []
        for name in names:
            try:
                __import__(name)
            except Exception as error:
                lines = [line for line in str(error).splitlines() if line.strip()]
                broken.append(f"{name}: {lines[-1] if lines else type(error).__name__}"[:REASON])
        # After all others: a file of the session never stands in for a module.
        sys.path.append(self.folder)
        sys.argv[:] = [""]
        sys.modules["__main__"] = self.module
        return broken

    def listen(self):
        """Takes requests beside the cell that runs: an interruption must be heard at once."""
        try:
            while True:
                request, content = self.channel.ask()
                if request["op"] != "interrupt":
                    self.requests.put((request, content))
                    continue
                # First this, for a cell that is about to run.
                self.condemned = request["id"]
                if self.running == self.condemned:
                    signal.pthread_kill(self.thread, signal.SIGINT)
        finally:
            # The server is gone, or a cell closed the channel: nobody can be served any more.
            _exit(0)

    def interrupted(self, _signal, _frame):
        if self.running is not None:
            raise KeyboardInterrupt

    def serve(self, broken):
        self.streams.prepare()
        signal.signal(signal.SIGINT, self.interrupted)
        start_new_thread(self.listen, ())
        self.channel.answer({"id": 0, "event": "ready", "error": "; ".join(broken) or None})
        while True:
            request, content = self.requests.get()
            answer = {"id": request["id"], "event": "done"}
            produced = b""
            try:
                operation = getattr(self, "do_" + request["op"])
                result = operation(request, content)
                produced = result.pop("content", b"")
                answer.update(result)
            except OSError as error:
                answer["error"] = error.strerror or "it failed"
            except Exception as error:
                answer["error"] = type(error).__name__
            self.channel.answer(answer, produced)

    def do_ping(self, _request, _content):
        return {}

    def do_put(self, request, content):
        """Appends to a file; the first piece makes it anew."""
        path = os.path.join(self.folder, request["name"])
        if request["first"]:
            os.makedirs(self.folder, exist_ok=True)
            if os.path.lexists(path):
                os.unlink(path)
        flags = os.O_CREAT | os.O_EXCL if request["first"] else os.O_APPEND
        descriptor = open_file(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC | flags, 0o644)
        try:
            write_all(descriptor, content)
        finally:
            close(descriptor)
        if request["last"] and request["read_only"]:
            chmod(path, 0o444)
        return {}

    def do_link(self, request, _content):
        """A second name of a file."""
        path = os.path.join(self.folder, request["name"])
        if os.path.lexists(path):
            os.unlink(path)
        os.symlink(request["target"], path)
        return {}

    def do_get(self, request, _content):
        """A piece of a file. The kind is looked at once it is open: a pipe would be waited for."""
        path = os.path.join(self.folder, request["name"])
        descriptor = open_file(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(fstat(descriptor).st_mode):
                return {"error": "it is not a regular file"}
            return {"content": os.pread(descriptor, request["limit"], request["offset"])}
        finally:
            close(descriptor)

    def do_list(self, request, _content):
        """Regular files below the folder, with sizes and times in nanoseconds: neither links nor pipes."""
        files, folders, seen = [], [""], 0
        while folders:
            parent = folders.pop()
            try:
                entries = os.scandir(os.path.join(self.folder, parent))
            except OSError:
                continue
            with entries:
                for entry in entries:
                    seen += 1
                    if seen > ENTRIES or len(files) >= request["limit"]:
                        return {"files": files}
                    name = os.path.join(parent, entry.name)
                    if not is_nameable(name):
                        continue
                    try:
                        status = entry.stat(follow_symlinks=False)
                    except OSError:
                        # Just removed.
                        continue
                    if stat.S_ISDIR(status.st_mode):
                        folders.append(name)
                    elif stat.S_ISREG(status.st_mode):
                        modified = max(-TIME, min(status.st_mtime_ns, TIME))
                        files.append([name, status.st_size, modified])
        return {"files": files}

    def do_execute(self, request, content):
        """Runs a cell. Its output is what stands between the two marks."""
        self.streams.prepare()
        write_all(self.streams.output, request["begin"].encode())
        self.figures.begin(request)
        self.cells += 1
        outcome = "interrupted"
        try:
            try:
                signal.signal(signal.SIGINT, self.interrupted)
                self.running = request["id"]
                if self.condemned == self.running:
                    raise KeyboardInterrupt
                outcome = self.run(content.decode("utf-8", "replace"), f"<cell {self.cells}>")
            finally:
                self.running = None
        except KeyboardInterrupt:
            # It came before the cell, or between its end and ours.
            self.running = None
        self.figures.end()
        self.recover()
        write_all(self.streams.output, request["end"].encode())
        return {"outcome": outcome}

    def recover(self):
        """Takes back what a cell may have changed of the interpreter that this file needs itself."""
        sys.settrace(None)
        sys.setprofile(None)
        vars(builtins).update(BUILTINS)
        if sys.getrecursionlimit() < RECURSION:
            sys.setrecursionlimit(RECURSION)

    def run(self, code, name):
        linecache.cache[name] = (len(code), None, code.splitlines(True), name)
        status, outcome = 1, "failed"
        try:
            self.evaluate(code, name)
            status, outcome = 0, "completed"
        except KeyboardInterrupt:
            self.complain()
            outcome = "interrupted"
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else int(error.code is not None)
            if status:
                self.streams.say(f"SystemExit: {error.code}")
            outcome = "failed" if status else "completed"
        except BaseException:
            self.complain()
            self.show_rest()
        if getpid() != self.process:
            # A child that came back from the cell is nobody here.
            _exit(status & 0xFF)
        return outcome

    def evaluate(self, code, name):
        """As a notebook does: the value of a last expression is shown, unless a semicolon follows it."""
        tree = compile(code, name, "exec", ast.PyCF_ONLY_AST, dont_inherit=True)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, name, "exec", dont_inherit=True), self.module.__dict__)
        if last is not None:
            last = compile(ast.Expression(last.value), name, "eval", dont_inherit=True)
            value = eval(last, self.module.__dict__)
            if value is not None and not code.rstrip().endswith(";"):
                self.module._ = value
                self.streams.flush()
                self.streams.say(repr(value))
        if getpid() == self.process:
            self.figures.flush()
        self.streams.flush()

    def display(self, *values):
        """What a notebook calls so: a way to show more than the last value."""
        for value in values:
            self.streams.flush()
            self.streams.say(repr(value))

    def show_rest(self):
        """What was drawn before the cell failed; the next cell has nothing to do with it."""
        if getpid() == self.process:
            try:
                self.figures.flush()
            except Exception:
                self.complain()

    def complain(self):
        """A traceback without the frames of this file."""
        kind, error, trace = sys.exc_info()
        trace = without_driver(trace)
        try:
            self.streams.flush()
            lines = "".join(traceback.format_exception(kind, error, trace)).splitlines()
        except Exception:
            lines = [kind.__name__]
        if len(lines) > LINES:
            lines[LINES // 2 : -LINES // 2] = [f"  [{len(lines) - LINES} lines are left out]"]
        self.streams.say("\n".join(lines))


def without_driver(trace):
    """A loop and no recursion: the traceback may be that of a recursion without end."""
    first = last = None
    while trace is not None:
        if trace.tb_frame.f_globals is not globals():
            if last is None:
                first = trace
            else:
                last.tb_next = trace
            last = trace
        trace = trace.tb_next
    if last is not None:
        last.tb_next = None
    return first


def is_nameable(name):
    try:
        return len(name.encode()) <= PATH
    except UnicodeEncodeError:
        # Its bytes are no UTF-8: no file of the API could be called so.
        return False


def main():
    os.environ.setdefault("MPLBACKEND", "Agg")
    # Modules keep caches there; in the folder of the session they would pass for files that code has written.
    os.environ.setdefault("HOME", tempfile.gettempdir())
    os.environ.setdefault("MPLCONFIGDIR", tempfile.gettempdir())
    session = Session()
    broken = session.import_modules(sys.argv[1:])
    session.figures.prepare()
    session.serve(broken)


main()
