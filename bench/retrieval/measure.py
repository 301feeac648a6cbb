"""Measures how well and how fast Locum finds, and how fast files become searchable. Called by bench/retrieval/run."""

import argparse
import concurrent.futures
import itertools
import statistics
import sys
import time

import client
import made
import references
import texts

# Tokens of a chunk: the embedding model takes 512 of its own, of which a text has more than of o200k.
PIECES = {"max_chunk_size_tokens": 400, "chunk_overlap_tokens": 200}
# For the latencies: many chunks of little text.
SMALL = {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 0}
RANKS = (1, 5, 20)


class Report:
    def __init__(self):
        self.lines, self.missed = [], []

    def row(self, what, goal, measured, met, raw=""):
        told = "" if met is None else "yes" if met else "**no**"
        self.lines.append(f"| {what} | {goal} | {measured} | {told} | {raw} |")
        print(f"{what:58} {goal:>18} {measured:>22} {told:8} {raw}", flush=True)
        if met is False:
            self.missed.append(what)

    def table(self, *heads):
        self.lines += ["", f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
        print("\n" + " | ".join(heads), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--locum", required=True)
    parser.add_argument("--psql", required=True)
    parser.add_argument("--database", required=True)
    parser.add_argument("--report", required=True)
    parser.add_argument("--embedding-url", required=True)
    parser.add_argument("--embedding-model", required=True)
    parser.add_argument("--only", default="quality,latency,ingestion")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    report = Report()
    measures = {"quality": quality, "lexical": lexical, "latency": latency, "ingestion": ingestion}
    for name in options.only.split(","):
        measures[name](options, report)
    with open(options.report, "w", encoding="utf-8") as out:
        out.write("\n".join(report.lines).strip() + "\n")
    if report.missed:
        print("bench: missed: " + "; ".join(report.missed), file=sys.stderr)


def database(options, name):
    """A new database of the cluster, and its URL."""
    references.Database(options.psql, options.database).run(f"create database {name}")
    url = options.database.replace("/locum?", f"/{name}?", 1)
    return references.Database(options.psql, url), url


def number(base, store):
    return int(base.value(f"select number from vector_stores where id = '{store}'"))


# How well


class Quality:
    """Of each way to search: at which place it found what was looked for."""

    def __init__(self):
        self.places = {}

    def add(self, way, found, wanted):
        self.places[way] = [files.index(file) if file in files else None for files, file in zip(found, wanted)]

    def recall(self, way, rank):
        places = self.places[way]
        return sum(place is not None and place < rank for place in places) / len(places)

    def reciprocal(self, way):
        return statistics.fmean(0 if place is None else 1 / (place + 1) for place in self.places[way])


def lexical(options, report):
    """The part of it that needs no embedding model, which takes most of the time."""
    quality(options, report, vectors=False)


def quality(options, report, vectors=True):
    pairs = texts.pairs(300 if options.quick else 1_500)
    asked = pairs[: 100 if options.quick else 600]
    queries = [summary for summary, _ in asked]
    found = Quality()
    words_base, words_url = database(options, "words")
    with client.Server(options.locum, words_url) as server:
        http = server.client()
        files = [http.upload(f"{place}.txt", body.encode()) for place, (_, body) in enumerate(pairs)]
        store, _ = http.store(files, PIECES)
        wanted = files[: len(queries)]
        found.add("lexical", [http.search(store, query) for query in queries], wanted)
        plain = number(words_base, store)
        ranked = references.Bm25(words_base, plain)
        terms = references.Terms(words_base, queries)
        asked_terms = [terms.of(plain, query) for query in queries]
        found.add("BM25 over all chunks", [ranked.search(each) for each in asked_terms], wanted)
        found.add("ts_rank of PostgreSQL", references.ts_rank(words_base, plain, queries), wanted)
    raw = f"{len(queries):,} queries, {len(pairs):,} documents, {len(ranked.files):,} chunks"
    if not vectors:
        return told(report, found, raw)
    vectors_base, vectors_url = database(options, "vectors")
    settings = {"LOCUM_EMBEDDING_URL": options.embedding_url, "LOCUM_EMBEDDING_MODEL": options.embedding_model}
    with client.Server(options.locum, vectors_url, **settings) as server:
        http = server.client()
        files = [http.upload(f"{place}.txt", body.encode()) for place, (_, body) in enumerate(pairs)]
        store, seconds = http.store(files, PIECES)
        wanted = files[: len(queries)]
        for way, weights in [("vector", (1, 0)), ("hybrid", None), ("words of the hybrid store", (0, 1))]:
            found.add(way, [http.search(store, query, weights) for query in queries], wanted)
        exact = references.Vectors(vectors_base, number(vectors_base, store), options.embedding_url, options.embedding_model)
        found.add("all vectors compared", [exact.search(query) for query in exact.embed(queries)], wanted)
    told(report, found, f"{raw}; embedded in {seconds:.0f} s")


def told(report, found, raw):
    report.table(f"{raw}", *(f"recall@{rank}" for rank in RANKS), "MRR")
    for way in found.places:
        figures = [f"{found.recall(way, rank):.3f}" for rank in RANKS] + [f"{found.reciprocal(way):.3f}"]
        report.lines.append(f"| {way} | {' | '.join(figures)} |")
        print(f"{way:30} {'  '.join(figures)}")
    report.table("what", "goal", "measured", "met", "raw")
    bm25, lexical = found.recall("BM25 over all chunks", 20), found.recall("lexical", 20)
    report.row("lexical recall@20", f"≥ {bm25 - 0.02:.3f}", f"{lexical:.3f}", lexical >= bm25 - 0.02, "BM25 over all chunks − 0.02")
    for rank in RANKS if "hybrid" in found.places else ():
        hybrid, words, vector = (found.recall(way, rank) for way in ("hybrid", "lexical", "vector"))
        raw = f"lexical {words:.3f}, vector {vector:.3f}"
        report.row(f"hybrid recall@{rank}", "above both parts", f"{hybrid:.3f}", hybrid > max(words, vector), raw)


# How fast


def latency(options, report):
    base, url = database(options, "latency")
    queries = [summary for summary, _ in texts.pairs(300)][: 50 if options.quick else 200]
    sizes = (1_000, 10_000) if options.quick else (1_000, 10_000, 100_000)
    report.table("searches", "chunks", "p50", "p95", "raw")
    with client.Server(options.locum, url) as server:
        # Texts of source files in the order in which they come: the largest store has the first of them too.
        stores = [(size, fill(server, base, size)) for size in sizes]
        base.run("vacuum analyze")
        for size, store in stores:
            measured = latencies(options, server, base, store, queries)
            chunks = int(base.value(f"select sum(chunks) from vector_store_files where store_id = '{store}'"))
            for way, times, raw in measured:
                p50, p95 = quantile(times, 50), quantile(times, 95)
                report.lines.append(f"| {way} | {chunks:,} | {p50:.2f} ms | {p95:.2f} ms | {raw} |")
                print(f"{way:45} {chunks:>9,} {p50:9.2f} ms {p95:9.2f} ms  {raw}", flush=True)
    report.table("what", "goal", "measured", "met", "raw")
    search, bare, few = (quantile(times, 50) for _, times, _ in (measured[0], measured[2], measured[3]))
    raw = f"{search:.2f} ms of {bare:.2f} ms; of the query that stops after 20 rows ({few:.2f} ms) {search / few:.1f}"
    name = f"search p50 at {size:,} chunks, of the bare query's"
    report.row(name, "≤ 1.5", f"{search / bare:.2f}", None if options.quick else search <= 1.5 * bare, raw)


def fill(server, base, size):
    """A store of so many chunks."""
    http = server.client()
    # A chunk of 100 tokens has some 350 bytes of such texts; files have some 80 chunks.
    enough, files = size * 500, []
    content = itertools.chain(texts.of_kind(".py"), texts.manual_pages(), texts.of_kind(".rs", ".md", ".txt"))
    store = http.post("/vector_stores", {})["id"]
    have, taken = 0, 0
    pieces = (piece for text in content for piece in texts.cut(text, 28_000))
    while have < size and taken < enough:
        portion = []
        # By what the first chunks had, and 350 bytes before there are any.
        wanted = min((size - have) * (taken / have if have else 350), 10_000_000)
        for piece in pieces:
            portion.append(piece)
            wanted -= len(piece)
            taken += len(piece)
            if wanted <= 0:
                break
        if not portion:
            sys.exit(f"the machine has not text enough for {size} chunks")
        ids = [http.upload(f"{len(files) + place}.txt", piece.encode()) for place, piece in enumerate(portion)]
        files += ids
        batch = {"file_ids": ids, "chunking_strategy": {"type": "static", "static": SMALL}}
        http.post(f"/vector_stores/{store}/file_batches", batch)
        while http.request("GET", f"/vector_stores/{store}")["file_counts"]["in_progress"]:
            time.sleep(0.1)
        have = int(base.value(f"select sum(chunks) from vector_store_files where store_id = '{store}'"))
    return store


def latencies(options, server, base, store, queries):
    """Of each way: its name, milliseconds, and what else is to be said."""
    searched = timed(server.address, store, queries)
    begun = time.monotonic()
    with concurrent.futures.ProcessPoolExecutor(8) as clients:
        tasks = [clients.submit(timed, server.address, store, queries[start:] + queries[:start]) for start in range(0, 8 * 20, 20)]
        together = [time for task in tasks for time in task.result()]
    rate = len(together) / (time.monotonic() - begun)
    store = number(base, store)
    terms = references.Terms(base, queries)
    setup = "set jit = off;\nprepare bare (integer[], bigint) as select number from vector_store_chunks where terms && $1 and store = $2;\n"
    setup += "prepare few (integer[], bigint) as select number from vector_store_chunks where terms && $1 and store = $2 limit 20;"
    asked = ["'{" + ",".join(map(str, sorted(terms.of(store, query)))) + "}'" for query in queries]
    bare = base.times(setup, [f"execute bare ({each}, {store});" for each in asked] * 2)[len(asked) :]
    few = base.times(setup, [f"execute few ({each}, {store});" for each in asked] * 2)[len(asked) :]
    hits = [
        int(base.value(f"select count(*) from vector_store_chunks where terms && {each}::integer[] and store = {store}"))
        for each in asked[:: max(1, len(asked) // 20)]
    ]
    return [
        ("search, one client", searched, ""),
        ("search, 8 clients", together, f"{rate:.0f} a second, beginning of the clients included"),
        ("bare query for the same words", bare, f"{statistics.median(hits):.0f} rows of the median query"),
        ("the same that stops after 20 rows", few, ""),
    ]


def timed(address, store, queries):
    """Milliseconds of each search, all of them twice and counted once."""
    http, times = client.Client(address), []
    for query in queries + queries:
        begun = time.perf_counter()
        http.search(store, query)
        times.append((time.perf_counter() - begun) * 1_000)
    return times[len(queries) :]


def quantile(times, percent):
    return statistics.quantiles(times, n=100, method="inclusive")[percent - 1]


# Becoming searchable


def ingestion(options, report):
    base, url = database(options, "ingestion")
    report.table("what", "goal", "measured", "met", "raw")
    with client.Server(options.locum, url) as server:
        http = server.client()
        # The first file loads the tokens, once.
        http.store([http.upload("first.txt", b"the first file")])
        files, total = [], 0
        for name, content in made.mixed(5 if options.quick else 50):
            files.append(http.upload(name, content))
            total += len(content)
        memory = client.Memory(server.process.pid)
        memory.start()
        store, seconds = http.store(files)
        memory.stop()
        text, chunks = map(int, base.rows(f"select sum(usage_bytes), sum(chunks) from vector_store_files where store_id = '{store}'")[0])
        peak = client.highest(server.process.pid)
    raw = f"{total / 1e6:.1f} MB in {len(files):,} files, {chunks:,} chunks of {text / 1e6:.0f} MB in {seconds:.1f} s"
    report.row("ingestion of mixed files", "", f"{total / 1e6 / seconds:.2f} MB/s", None, raw)
    grown = memory.own - memory.before
    raw = f"{memory.before:.0f} MB before, {memory.own:.0f} MB at most (VmHWM {peak:.0f} MB)"
    report.row("the server's RSS grows by", "< 150 MB", f"{grown:.0f} MB", grown < 150, raw)
    report.row("processes that read files, together", "", f"{memory.children:.0f} MB", None, "RSS at most")


if __name__ == "__main__":
    main()
