"""What Locum is held against: BM25 over all chunks, PostgreSQL's ts_rank, all vectors compared, and the bare index."""

import array
import collections
import json
import math
import re
import statistics
import subprocess
import sys
import urllib.request

K1, B = 1.2, 0.75


class Database:
    def __init__(self, psql, url):
        self.command = [psql, "-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-d", url]

    def run(self, text):
        done = subprocess.run(self.command, input=text, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"psql: {done.stderr}")
        return done.stdout

    def rows(self, select):
        return [line.split("\t") for line in self.run(f"copy ({select}) to stdout;").splitlines()]

    def value(self, select):
        return self.run(f"{select};").strip()

    def times(self, setup, statements):
        """Milliseconds that each takes on one connection, all of its rows fetched."""
        output = self.run(setup + "\n\\o /dev/null\n\\timing on\n" + "\n".join(statements) + "\n")
        times = [float(time) for time in re.findall(r"^Time: ([\d.]+) ms", output, re.M)]
        if len(times) != len(statements):
            sys.exit(f"psql told {len(times)} times of {len(statements)} statements")
        return times


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


def term(store, word):
    """As `terms::term` of src/services/retrieval/terms.rs."""
    value = 0xCBF29CE484222325
    for byte in store.to_bytes(8, "little", signed=True) + word.encode():
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    value = (value * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    folded = (value & 0xFFFFFFFF) ^ (value >> 32)
    return folded - 2**32 if folded >= 2**31 else folded


def parts(token):
    """As `terms::parts`."""
    found = []
    for piece in filter(None, token.split("_")):
        start = 0
        for place in range(1, len(piece)):
            before, c = piece[place - 1], piece[place]
            if before.islower() and c.isupper() or before.isnumeric() != c.isnumeric():
                found.append(piece[start:place])
                start = place
        found.append(piece[start:])
    return found


def unstemmed(text):
    """The words of a text, folded, as `terms::words` has them, but for scripts without spaces."""
    words = []
    for token in re.findall(r"\w+", text):
        pieces = parts(token)
        if len(pieces) > 2:
            words.append(token.replace("_", ""))
        words += [first + second for first, second in zip(pieces, pieces[1:])] + pieces
    return [word.lower()[:64] for word in words]


class Terms:
    """The terms of queries, with the stems of PostgreSQL's dictionary: it is Snowball's, as that of Locum is."""

    def __init__(self, database, queries):
        words = {word for query in queries for word in unstemmed(query) if word.isascii()}
        listed = ",".join(quoted(word) for word in sorted(words))
        stemmed = database.run(
            "create text search dictionary pg_temp.stems (template = snowball, language = english);\n"
            f"copy (select word, (ts_lexize('pg_temp.stems', word))[1] from unnest(array[{listed}]) as word) to stdout;"
        )
        self.stems = dict(line.split("\t") for line in stemmed.splitlines())

    def of(self, store, query):
        return {term(store, self.stems.get(word, word)) for word in unstemmed(query)}


class Bm25:
    """All chunks of a store, each ranked by its own terms and counts as they are stored."""

    def __init__(self, database, store):
        self.files, self.words, self.postings = [], [], collections.defaultdict(list)
        for place, (file, words, terms, counts) in enumerate(database.rows(
            "select f.file_id, c.words, array_to_string(c.terms, ' '), encode(c.counts, 'hex')"
            f" from vector_store_chunks c join vector_store_files f on f.number = c.file where c.store = {store} order by c.number"
        )):
            self.files.append(file)
            self.words.append(int(words))
            for term, count in zip(map(int, terms.split()), bytes.fromhex(counts)):
                self.postings[term].append((place, count))
        self.mean = statistics.fmean(self.words)

    def search(self, terms, limit=20):
        scores = collections.defaultdict(float)
        for term in sorted(terms & self.postings.keys()):
            chunks = self.postings[term]
            weight = math.log(1 + (len(self.files) - len(chunks) + 0.5) / (len(chunks) + 0.5))
            for place, count in chunks:
                length = K1 * (1 - B + B * self.words[place] / self.mean)
                scores[place] += weight * count * (K1 + 1) / (count + length)
        best = sorted(scores.items(), key=lambda scored: (-scored[1], scored[0]))
        return [self.files[place] for place, _ in best[:limit]]


def ts_rank(database, store, queries, limit=20):
    """PostgreSQL's own search: any word of the query, by ts_rank."""
    listed = ",\n".join(f"({number}, {quoted(query)})" for number, query in enumerate(queries))
    told = database.run(
        "create temp table plain as select f.file_id, c.number, to_tsvector('english', c.content) as words"
        f" from vector_store_chunks c join vector_store_files f on f.number = c.file where c.store = {store};\n"
        "create index on plain using gin (words);\nanalyze plain;\n"
        "create temp table asked as select number, replace(plainto_tsquery('english', query)::text, '&', '|')::tsquery as query"
        f" from (values {listed}) as asked (number, query);\n"
        "select asked.number, best.file_id from asked cross join lateral (select file_id, number, ts_rank(words, query) as rank"
        f" from plain where words @@ query order by rank desc, number limit {limit}) as best"
        " order by asked.number, best.rank desc, best.number;"
    )
    found = [[] for _ in queries]
    for line in told.splitlines():
        number, file = line.split("\t")
        found[int(number)].append(file)
    return found


class Vectors:
    """All chunks of a store, compared one by one with vectors that this asks the model for."""

    def __init__(self, database, store, url, model):
        self.url, self.model = url, model
        rows = database.rows(
            "select f.file_id, to_json(c.content) from vector_store_chunks c"
            f" join vector_store_files f on f.number = c.file where c.store = {store} order by c.number"
        )
        self.files = [file for file, _ in rows]
        # `copy` writes a backslash twice.
        self.vectors = self.embed([json.loads(content.replace("\\\\", "\\")) for _, content in rows])

    def embed(self, texts):
        vectors = []
        for start in range(0, len(texts), 32):
            vectors += self.batch(texts[start : start + 32])
        return vectors

    def batch(self, texts):
        body = json.dumps({"model": self.model, "input": texts, "encoding_format": "float"}).encode()
        request = urllib.request.Request(f"{self.url}/embeddings", body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request) as response:
                data = json.load(response)["data"]
        except urllib.error.HTTPError as error:
            # A text that is too long is cut, and its parts are averaged.
            if error.code >= 500 and len(texts) == 1 and len(texts[0]) < 100:
                raise
            if len(texts) > 1:
                return [vector for text in texts for vector in self.batch([text])]
            middle = len(texts[0]) // 2
            first, second = self.batch([texts[0][:middle]])[0], self.batch([texts[0][middle:]])[0]
            return [unit(array.array("d", map(sum, zip(first, second))))]
        return [unit(array.array("d", each["embedding"])) for each in sorted(data, key=lambda each: each["index"])]

    def search(self, query, limit=20):
        """By a query's vector."""
        scored = [(-sum(map(float.__mul__, query, vector)), place) for place, vector in enumerate(self.vectors)]
        return [self.files[place] for _, place in sorted(scored)[:limit]]


def unit(vector):
    length = math.sqrt(sum(value * value for value in vector)) or 1.0
    return array.array("d", [value / length for value in vector])
