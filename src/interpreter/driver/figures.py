class Figures:
    """Figures of matplotlib, which are shown where a cell asks for it, and at its end."""

    def __init__(self, channel, streams):
        self.channel, self.streams = channel, streams
        self.folder = os.getcwd()
        self.request, self.shown, self.left = None, 0, 0
        # Where each figure was saved, and of how many parts it was made then.
        self.saved = weakref.WeakKeyDictionary()

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
        save = sys.modules["matplotlib.figure"].Figure.savefig

        def savefig(figure, fname, *arguments, **options):
            result = save(figure, fname, *arguments, **options)
            self.note(figure, fname)
            return result

        sys.modules["matplotlib.figure"].Figure.savefig = functools.wraps(save)(savefig)
        self.save = save

    def note(self, figure, fname):
        """A picture in the folder is shown as a file already; the figure need not be shown beside it."""
        if isinstance(fname, (str, os.PathLike)):
            path = os.path.abspath(os.fspath(fname))
            if str(path).lower().endswith(PICTURES) and str(path).startswith(self.folder + os.sep):
                self.saved[figure] = path, len(figure.findobj())

    def is_saved(self, figure):
        path, parts = self.saved.get(figure, (None, 0))
        return path is not None and os.path.exists(path) and parts == len(figure.findobj())

    def flush(self):
        pyplot = sys.modules.get("matplotlib.pyplot")
        if pyplot is None or self.request is None:
            return
        for number in pyplot.get_fignums():
            figure = pyplot.figure(number)
            try:
                if has_content(figure) and not self.is_saved(figure):
                    self.show(figure)
            finally:
                pyplot.close(figure)

    def show(self, figure):
        image = io.BytesIO()
        self.save(figure, image, format="png", bbox_inches="tight")
        self.send(image.getvalue())

    def present(self, value):
        """Whether a value is a picture, which is shown then."""
        pyplot = sys.modules.get("matplotlib.pyplot")
        if pyplot is not None and isinstance(value, pyplot.Figure) and has_content(value):
            if not self.is_saved(value):
                self.show(value)
            pyplot.close(value)
            return True
        pictures = sys.modules.get("PIL.Image")
        if pictures is not None and isinstance(value, pictures.Image):
            image = io.BytesIO()
            value.save(image, format="png")
            self.send(image.getvalue())
            return True
        return False

    def send(self, content):
        most = self.request["images"]
        if self.shown >= most:
            if self.shown == most:
                self.streams.say(f"[figures after the first {most} of a call are not shown]")
                self.shown += 1
            return
        if len(content) > self.left:
            self.streams.say(f"[a figure of {len(content)} bytes is not shown: {self.left} are left to this call]")
            return
        self.shown += 1
        self.left -= len(content)
        self.channel.answer({"id": self.request["id"], "event": "image"}, content)


def has_content(figure):
    return figure.get_axes() or figure.texts or figure.images


