"""A chat server in this process, and the embedded world's exact generators as the model behind it."""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from assay.streams import stream
from assay.world import Around, Problem, make_world
from assay.world.examples import references
from assay.world.strategies import worked

TASKS = ("add", "reverse", "max", "count")


@dataclass
class Served:
    """Where the server is, and the bodies and headers of all that it was asked."""

    url: str
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    @property
    def calls(self) -> int:
        return len(self.bodies)


Answer = Callable[[dict[str, Any]], tuple[int, bytes]]


@contextmanager
def served(answer: Answer) -> Iterator[Served]:
    """A server on a free port that answers every POST; `answer` gives status and body."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                known.bodies.append(body)
                known.headers.append({name.lower(): text for name, text in self.headers.items()})
                try:
                    status, text = answer(body)
                except Exception as error:
                    status, text = 400, json.dumps({"error": {"message": repr(error)}}).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            return None

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    known = Served(f"http://127.0.0.1:{httpd.server_port}/v1")
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    try:
        yield known
    finally:
        httpd.shutdown()
        httpd.server_close()


def completion(text: str, finish: str = "stop") -> tuple[int, bytes]:
    """A chat completion that says `text`; tokens are its words."""
    value = {
        "id": "x",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [{"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text}}],
        "usage": {"prompt_tokens": 10, "completion_tokens": len(text.split()), "total_tokens": 0},
    }
    return 200, json.dumps(value).encode()


def said(body: dict[str, Any]) -> str:
    """The last turn of a request."""
    return str(body["messages"][-1]["content"])


def turned(body: dict[str, Any], reply: Callable[[str], str]) -> tuple[int, bytes]:
    return completion(reply(said(body)))


class WorldWriter:
    """Writes what a strategy's steps ask for, exactly, about the references it is made with.

    Of the references in `slips` the first reply of a step is wrong, of those in `wrong` every one. `siblings`
    are the problems that it has given out.
    """

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = {problem.query: problem for problem in problems}
        self.clear = {problem.clear: problem for problem in problems}
        self.siblings: dict[str, Problem] = {}
        self.asked: Counter[tuple[str, str]] = Counter()
        self.slips = {problem.query for problem in problems[1::4]}
        self.wrong = {problem.query for problem in problems[3::8]}

    def __call__(self, body: dict[str, Any]) -> tuple[int, bytes]:
        return turned(body, self.reply)

    def reply(self, prompt: str) -> str:
        kind, problem = self.kind(prompt), self.problem(prompt)
        self.asked[kind, problem.query] += 1
        bad = problem.query in self.wrong or (
            problem.query in self.slips and self.asked[kind, problem.query] == 1
        )
        if kind == "verdict":
            return self.verdict(prompt, problem)
        return str(getattr(self, kind)(problem, bad))

    def kind(self, prompt: str) -> str:
        marks = {
            "Write another example of the same task that goes wrong": "bad_sibling",
            "Write another example of the same task": "sibling",
            "works the answer out": "reasoned",
            "Explain why the answer is right": "reason",
            "Write the question anew": "anew",
            "a hasty person": "hasty",
            "known to be good": "praise",
            "known to be bad": "blame",
            "The answer to judge": "verdict",
            "Take the question below apart": "parsed",
            "an answer that does not do": "complaint",
        }
        return next((kind for mark, kind in marks.items() if mark in prompt), "answer")

    def problem(self, prompt: str) -> Problem:
        """The reference that a prompt is about: the longest query in it."""
        texts = {**self.problems, **self.clear}
        return texts[max((text for text in texts if text in prompt), key=len)]

    def around(self, problem: Problem) -> Around:
        number = self.asked["sibling", problem.query]
        return Around(make_world(), "query", stream("sibling", problem.query, number))

    def sibling(self, problem: Problem, bad: bool) -> str:
        if bad:
            return f"Here is one: {problem.query}"
        other = self.around(problem).sibling(problem)
        self.siblings[other.query] = other
        return json.dumps({"query": other.query, "response": other.answer})

    def bad_sibling(self, problem: Problem, bad: bool) -> str:
        other = self.around(problem).sibling(problem)
        self.siblings[other.query] = other
        return json.dumps({"query": other.query, "response": self.around(other).sibling(other).answer})

    def reasoned(self, problem: Problem, bad: bool) -> str:
        return worked(self.around(problem).sibling(problem) if bad else problem)

    def reason(self, problem: Problem, bad: bool) -> str:
        return problem.reasoning

    def anew(self, problem: Problem, bad: bool) -> str:
        return problem.query if bad else problem.clear

    def hasty(self, problem: Problem, bad: bool) -> str:
        return problem.answer if bad else self.around(problem).sibling(problem).answer

    def praise(self, problem: Problem, bad: bool) -> str:
        return f"the input wants this: {problem.clear} the output has it. Verdict: {'bad' if bad else 'good'}"

    def blame(self, problem: Problem, bad: bool) -> str:
        return f"the input wants this: {problem.clear} the output fails. Verdict: {'good' if bad else 'bad'}"

    def parsed(self, problem: Problem, bad: bool) -> str:
        parts = ("kind", "material", "wanted", "conditions")
        return "no object" if bad else json.dumps(dict.fromkeys(parts, problem.task))

    def complaint(self, problem: Problem, bad: bool) -> str:
        return problem.answer if bad else "that is not what i asked for, look again."

    def verdict(self, prompt: str, problem: Problem) -> str:
        """Exactly: whether the answer to judge is the problem's."""
        answer = prompt.split("The answer to judge:\n")[1].split("\n\n")[0]
        return f"it says {answer}. {'good' if answer == problem.answer else 'bad'}"


class WorldStudent(WorldWriter):
    """Answers a question that is clear, and gets every other wrong."""

    def __call__(self, body: dict[str, Any]) -> tuple[int, bytes]:
        prompt = said(body)
        problem = self.problem(prompt)
        if prompt in self.clear:
            return completion(problem.answer)
        return completion(self.around(problem).sibling(problem).answer)


def world_problems(per_task: int = 4, tasks: tuple[str, ...] = TASKS) -> list[Problem]:
    return [problem for task in tasks for problem in references(task, per_task, 0, "probe", make_world())]


def write_references(path: Path, problems: list[Problem]) -> Path:
    """The problems as a file of plain examples."""
    path.write_text(
        "".join(
            json.dumps(
                {
                    "id": f"{problem.task}-{number}",
                    "task": problem.task,
                    "messages": [
                        {"role": "user", "content": problem.query},
                        {"role": "assistant", "content": problem.answer},
                    ],
                }
            )
            + "\n"
            for number, problem in enumerate(problems)
        ),
        encoding="utf-8",
    )
    return path


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
