class Files:
    """The files of a session."""

    # The file that is being put.
    putting = None

    def do_put(self, request, content):
        """A piece of a file. It has its name when it is whole, and whoever may only read it could never write it."""
        putting = os.path.join(self.folder, PUTTING)
        if request["first"]:
            self.drop_put(putting)
            os.makedirs(self.folder, exist_ok=True)
            flags = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_CREAT | os.O_EXCL
            self.putting = open_file(putting, flags, 0o444 if request["read_only"] else 0o644)
        try:
            write_all(self.putting, content)
            if not request["last"]:
                return {}
            status = fstat(self.putting)
            os.replace(putting, os.path.join(self.folder, request["name"]))
        except OSError:
            self.drop_put(putting)
            raise
        close(self.putting)
        self.putting = None
        return {"files": [[request["name"], status.st_size, modified(status)]]}

    def drop_put(self, putting):
        """What is left of a file that was not put to its end."""
        if self.putting is not None:
            close(self.putting)
            self.putting = None
        if os.path.lexists(putting):
            os.unlink(putting)

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
        """Regular files below the folder, the last changed first, with sizes and times in nanoseconds: neither links nor
        pipes, nor what is hidden."""
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
                    if seen > ENTRIES:
                        folders = []
                        break
                    name = os.path.join(parent, entry.name)
                    if entry.name.startswith(".") or not is_nameable(name):
                        continue
                    try:
                        status = entry.stat(follow_symlinks=False)
                    except OSError:
                        # Just removed.
                        continue
                    if stat.S_ISDIR(status.st_mode):
                        folders.append(name)
                    elif stat.S_ISREG(status.st_mode):
                        files.append((status.st_ctime_ns, name, status.st_size, modified(status)))
        files.sort(key=lambda file: (-file[0], file[1]))
        is_cut = seen > ENTRIES or len(files) > request["limit"]
        return {"files": [file[1:] for file in files[: request["limit"]]], "is_cut": is_cut}


def modified(status):
    return max(-TIME, min(status.st_mtime_ns, TIME))


def is_nameable(name):
    try:
        return len(name.encode()) <= PATH
    except UnicodeEncodeError:
        # Its bytes are no UTF-8: no file of the API could be called so.
        return False


