"""Texts that packages on this machine ship, in an order that depends on the texts alone. None of them is kept."""

import ast
import gzip
import hashlib
import os
import pathlib
import re
import sysconfig

STANDARD_LIBRARY = pathlib.Path(sysconfig.get_path("stdlib"))
MANUAL = pathlib.Path("/usr/share/man")
DOCUMENTATION = pathlib.Path("/usr/share/doc")
CRATES = pathlib.Path(os.environ.get("CARGO_HOME", pathlib.Path.home() / ".cargo")) / "registry/src"

# A document has so many words at least, and is cut after so many.
SHORTEST, LONGEST = 30, 600
# Files of other sizes are no typical text.
SIZES = range(1_000, 400_000)


def shuffled(items, key=str):
    """In an order that is arbitrary and the same each time."""
    return sorted(items, key=lambda item: hashlib.sha256(key(item).encode()).digest())


def pairs(most=1_500):
    """Summaries and the bodies that they belong to, both once."""
    found, summaries, bodies = [], set(), set()
    docstrings = shuffled(_docstrings(), key=lambda pair: pair[0] + pair[1])
    manuals = shuffled(_manuals(most), key=lambda pair: pair[0] + pair[1])
    # Two of three from docstrings, where there are manual pages.
    sources = [docstrings[: most * 2 // 3], manuals, docstrings[most * 2 // 3 :]]
    for summary, body in (pair for source in sources for pair in source):
        body = " ".join(body.split(" ")[:LONGEST])
        if len(summary.split()) < 4 or len(body.split()) < SHORTEST:
            continue
        if summary.casefold() in summaries or body in bodies or len(found) == most:
            continue
        summaries.add(summary.casefold())
        bodies.add(body)
        found.append((summary, body))
    return shuffled(found, key=lambda pair: pair[0])


def _docstrings():
    for path in _files(STANDARD_LIBRARY, [".py"]):
        if {"test", "tests", "site-packages", "dist-packages"} & set(path.parts):
            continue
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError, ValueError):
            continue
        for node in ast.walk(tree):
            if not isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                continue
            first, _, rest = (ast.get_docstring(node) or "").partition("\n\n")
            yield " ".join(first.split()), rest.strip()


def _manuals(most):
    """The NAME of a manual page without the name itself, and its DESCRIPTION."""
    pages = [path for section in ("man1", "man5", "man7", "man8") for path in sorted((MANUAL / section).glob("*.gz"))]
    found = 0
    for path in shuffled(pages, key=lambda path: path.name):
        if found == most:
            return
        text = manual_page(path)
        name = re.search(r"^NAME\n(.*?)(?=^[A-Z])", text, re.M | re.S)
        description = re.search(r"^DESCRIPTION\n(.*?)(?=^[A-Z][A-Z ]+$|\Z)", text, re.M | re.S)
        if not name or not description or not (summary := re.search(r" -+ (.+)", " ".join(name[1].split()))):
            continue
        found += 1
        yield summary[1], description[1].strip()


def manual_page(path):
    """The text of a manual page, without most of its markup."""
    try:
        with gzip.open(path, "rt", encoding="utf-8", errors="replace") as page:
            source = page.read()
    except (OSError, EOFError):
        return ""
    lines = []
    for line in source.splitlines():
        if heading := re.match(r"\.\s*S[Hh]\s+(.*)", line):
            lines.append(heading[1].strip('" '))
        elif text := re.match(r"\.\s*(?:Nm|Nd|BR?|IR?|BI|RB|RI|TP|SS|IP)\s+(.*)", line):
            lines.append(" " + ("- " if line.startswith(".Nd") else "") + text[1].replace('"', ""))
        elif not line.startswith((".", "'")):
            lines.append(" " + line)
    text = "\n".join(lines)
    text = re.sub(r"\\f(?:\[[^]]*\]|\(..|.)|\\s[-+]?\d|\\[&|^/,:%]|\\$", "", text, flags=re.M)
    text = re.sub(r"\\(?:\(em|\(en|-)", "-", text).replace("\\(aq", "'").replace("\\e", "\\").replace("\\ ", " ")
    return re.sub(r"\\(?:\(..|\[[^]]*\]|\*.)", " ", text)


def _files(root, endings):
    if not root.is_dir():
        return
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(names):
            path = pathlib.Path(folder, name)
            if any(name.endswith(ending) for ending in endings) and path.is_file() and not path.is_symlink():
                yield path


def of_kind(*endings):
    """The texts of the files of this machine whose names end so, each once."""
    paths = [path for root in (STANDARD_LIBRARY, DOCUMENTATION, CRATES) for path in _files(root, endings)]
    seen = set()
    for path in shuffled(paths, key=lambda path: "/".join(path.parts[-3:])):
        if path.stat().st_size not in SIZES:
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except (UnicodeDecodeError, OSError):
            continue
        if hash(text) not in seen:
            seen.add(hash(text))
            yield text


def manual_pages():
    pages = [path for section in ("man1", "man3", "man5", "man7", "man8") for path in (MANUAL / section).glob("*.gz")]
    for path in shuffled(pages, key=lambda path: path.name):
        if len(text := manual_page(path)) in SIZES:
            yield text


def cut(text, size):
    """Pieces of about so many characters, which end with a line."""
    pieces, piece, length = [], [], 0
    for line in text.splitlines(keepends=True):
        piece.append(line)
        length += len(line)
        if length >= size:
            pieces.append("".join(piece))
            piece, length = [], 0
    return pieces + ["".join(piece)] if piece else pieces
