"""A local OpenAI-compatible server that answers as a judge would: it counts what it is asked, and can refuse
first, talk nonsense, or not answer at all.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Judge:
    """What the server does, and what it was asked.

    ``no`` are texts: a prompt that holds one of them is judged "no", any other "yes".  ``refuse_first`` is
    how many requests get ``status`` before one is answered; ``broken`` are prompts (by a text in them) whose
    answer is the text beside it; ``silent`` lets every request wait until the client gives up.
    """

    uri: str = ""
    no: set[str] = field(default_factory=set)
    refuse_first: int = 0
    status: int = 429
    retry_after: str | None = None
    broken: dict[str, str] = field(default_factory=dict)
    silent: bool = False
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: Counter[str] = field(default_factory=Counter)

    def content(self, prompt: str) -> str:
        for text, answer in self.broken.items():
            if text in prompt:
                return answer
        wrong = any(text in prompt for text in self.no)
        return json.dumps({"rationale": "judged here", "result": "no" if wrong else "yes"})


class _Handler(BaseHTTPRequestHandler):
    judge: Judge
    lock: threading.Lock
    ending: threading.Event

    def do_POST(self) -> None:
        judge, body = self.judge, json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.lock:
            judge.asked.append(body)
            judge.keys[self.headers.get("Authorization", "")] += 1
            refused = judge.refuse_first > 0
            judge.refuse_first -= refused
        if judge.silent:
            self.ending.wait(30)
        elif refused:
            self._answer(judge.status, {"error": {"message": "not now", "type": "rate_limit"}})
        else:
            prompt = " ".join(str(message.get("content")) for message in body["messages"])
            message = {"role": "assistant", "content": judge.content(prompt)}
            usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            head = {"id": "c1", "object": "chat.completion", "created": 1, "model": body.get("model", "m")}
            self._answer(200, {**head, "choices": [choice], "usage": usage})

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        text = json.dumps(document).encode()
        self.send_response(status)
        if self.judge.retry_after is not None and status != 200:
            self.send_header("Retry-After", self.judge.retry_after)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        return


@contextmanager
def judge_server() -> Iterator[Judge]:
    """The server, on a free port until the block ends."""
    judge, ending = Judge(), threading.Event()
    kept = {"judge": judge, "lock": threading.Lock(), "ending": ending}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), kept))
    server.daemon_threads = True
    judge.uri = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield judge
    finally:
        ending.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
