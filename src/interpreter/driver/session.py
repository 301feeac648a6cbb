class Session(Files):
    def __init__(self):
        self.channel, self.streams = Channel(), Streams()
        self.figures = Figures(self.channel, self.streams)
        self.folder = os.getcwd()
        self.requests = SimpleQueue()
        self.process, self.thread = getpid(), get_ident()
        # The ids of the cell that runs and may be interrupted, and of the one that shall be.
        self.running = self.condemned = None
        self.cells = 0
        # Of cells that await.
        self.loop = None
        # Code lives in a real `__main__`: pickle and multiprocessing look its functions up there.
        self.module = types.ModuleType("__main__")
        self.module.__builtins__ = builtins
        self.module.display = self.display
        self.pretend_notebook()
        os.register_at_fork(after_in_child=self.channel.close)
        # That thread is ours, waits for a request, and holds no lock that a child could miss.
        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)

    def pretend_notebook(self):
        """`from IPython.display import display` works where there is no IPython."""
        if importlib.util.find_spec("IPython") is None:
            notebook, shown = types.ModuleType("IPython"), types.ModuleType("IPython.display")
            notebook.display, notebook.get_ipython, shown.display = shown, lambda: None, self.display
            sys.modules.update({"IPython": notebook, "IPython.display": shown})

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
        tree = parse(code, name)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        self.execute(compile(tree, name, "exec", AWAIT, dont_inherit=True))
        if last is not None:
            value = self.execute(compile(ast.Expression(last.value), name, "eval", AWAIT, dont_inherit=True))
            if value is not None and not code.rstrip().endswith(";"):
                self.module._ = value
                self.display(value)
        if getpid() == self.process:
            self.figures.flush()
        self.streams.flush()

    def execute(self, code):
        if not code.co_flags & COROUTINE:
            return eval(code, self.module.__dict__)
        if self.loop is None or self.loop.is_closed():
            import asyncio

            self.loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self.loop)
        return self.loop.run_until_complete(eval(code, self.module.__dict__))

    def display(self, *values):
        """What a notebook calls so: a way to show more than the last value."""
        for value in values:
            self.streams.flush()
            if getpid() != self.process or not self.figures.present(value):
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


def parse(code, name):
    """Python, or else what notebooks understand beside it: commands of the shell are run, and those of the notebook left
    out."""
    flags = ast.PyCF_ONLY_AST | AWAIT
    try:
        return compile(code, name, "exec", flags, dont_inherit=True)
    except SyntaxError:
        plain = COMMAND.sub(as_python, code)
        if plain == code:
            raise
    # Lines are where they were.
    return compile(plain, name, "exec", flags, dont_inherit=True)


def as_python(command):
    indent, sign, rest = command.groups()
    if sign == "%":
        name, _, timed = rest.partition(" ")
        return indent + (timed if name in ("time", "timeit") and timed[:1] not in ("", "-") else "pass")
    return f"{indent}__import__('subprocess').run({rest!r}, shell=True);"


def without_driver(trace):
    """Begins with the cell: before it are this file and, where it waits, the loop of asyncio. A loop and no recursion:
    the traceback may be that of a recursion without end."""
    start = trace
    while start is not None and not start.tb_frame.f_code.co_filename.startswith("<cell "):
        start = start.tb_next
    first = last = None
    trace = start or trace
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
