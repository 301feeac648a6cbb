"""The scripted model of the tests (tests/api/support/unscripted.rs) as a program, for servers that are tried in a container.

usage: model.py ADDRESS PORT

What it says is told by what it is asked: `call NAME` in the last user message calls that function, `say first` puts a
sentence before it, tool results are repeated, of passages that a search found the markers, of code that ran its first
line and links to what it saved, `slow` streams for ten seconds, and anything else is answered with one sentence. What
stands behind `Run this:` is run by the code interpreter.
"""

import json
import re
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

GREETING = "Hello from the scripted model."
FOUND = "Größe 🌍: found in"


def text_of(content):
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content or [])


def pieces(text):
    return [text[start : start + 3] for start in range(0, len(text), 3)]


def after_tools(messages):
    """What is said of the results that end the conversation."""
    results = []
    while messages and messages[-1]["role"] == "tool":
        results.insert(0, text_of(messages.pop()["content"]))
    markers = [marker for result in results for marker in re.findall(r"^【[^】\n]*】", result, re.MULTILINE)]
    if markers:
        return pieces(f"{FOUND} {' and in '.join(markers)}.")
    if len(results) == 1 and "[Saved: " in results[0]:
        said, saved = results[0].split("[Saved: ", 1)
        names = saved.split(". The user")[0].split(", ")
        links = " and ".join(f"[{name}](sandbox:/mnt/data/{name})" for name in names)
        return pieces(f"{FOUND} {said.splitlines()[0]}, {links}.")
    return [f"Tool said: {', '.join(results)}"]


def reply_to(request):
    """Pieces of text, calls, and the seconds between two pieces."""
    messages = list(request["messages"])
    if messages[-1]["role"] == "tool":
        return after_tools(messages), [], 0
    text = text_of(messages[-1]["content"]) if messages[-1]["role"] == "user" else ""
    functions = {tool["function"]["name"]: tool["function"] for tool in request.get("tools") or []}

    def call(name):
        properties = functions[name].get("parameters", {}).get("properties", {})
        question = [text_of(message["content"]) for message in messages if message["role"] == "user"][-1]
        return name, {"queries": [question]} if "queries" in properties else {"city": "Paris"}

    if "Run this:\n" in text and "code_interpreter" in functions:
        return [], [("code_interpreter", {"code": text.split("Run this:\n", 1)[1]})], 0
    called = [name for name in re.findall(r"call ([A-Za-z0-9_-]+)", text) if name in functions]
    if called:
        return ["Let me look."] if "say first" in text else [], [call(name) for name in called], 0
    choice = request.get("tool_choice")
    if choice == "required" and functions:
        return [], [call(next(iter(functions)))], 0
    if isinstance(choice, dict):
        return [], [call(choice["function"]["name"])], 0
    if "slow" in text:
        return [f"{number} " for number in range(1, 51)], [], 0.2
    return re.findall(r"\S+\s*", GREETING), [], 0


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        """Not a line for each request."""

    def do_GET(self):
        self.answer({"object": "list", "data": [{"id": "scripted", "object": "model", "owned_by": "tests"}]})

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        texts, calls, pause = reply_to(request)
        self.send_response(200)
        self.send_header("content-type", "text/event-stream; charset=utf-8")
        self.end_headers()
        try:
            self.stream(request["model"], texts, calls, pause)
        except (BrokenPipeError, ConnectionResetError):
            # The run was cancelled.
            self.close_connection = True

    def stream(self, model, texts, calls, pause):
        def event(**fields):
            chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model, **fields}
            self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())

        def delta(**fields):
            event(choices=[{"index": 0, "delta": fields, "finish_reason": None}])

        delta(role="assistant", content="")
        for text in texts:
            delta(content=text)
            time.sleep(pause)
        for index, (name, arguments) in enumerate(calls):
            function = {"name": name, "arguments": json.dumps(arguments)}
            delta(tool_calls=[{"index": index, "id": f"call_{index}", "type": "function", "function": function}])
        event(choices=[{"index": 0, "delta": {}, "finish_reason": "tool_calls" if calls else "stop"}])
        event(choices=[], usage={"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15})
        self.wfile.write(b"data: [DONE]\n\n")

    def answer(self, body):
        body = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    server = ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()
