"""
A workflow on which everything goes wrong at once, and the services that it works with.

Its judge is a model on a server that misbehaves in eight ways, a tenth of the calls each; its writer is a function that
ends its process at some cases; its payouts go to a system that errs. What each service saw is kept, to be held against
the ledger.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import workflows
from faults.bench import Bench
from faults.refund_desk import DAG, inbox
from faults.sabotage import marks
from servers import effect_target
from servers.openai_like import (
    CLOSE,
    DRIBBLE,
    HANG,
    Body,
    Step,
    broken_json,
    content_filtered,
    error,
    ok,
    prose,
    rate_limited,
    refusal,
)

NAME = "storm"
MAX_TOKENS = 50
TIMEOUT = 2.0
PRICE_IN, PRICE_OUT = 1, 1000
"""US dollars a million tokens: answers are dear, so a server that says too much passes its reservation."""
ANSWER = {"kind": "refund", "sure": 0.95}
FATED = {**{f"S{number:03}": "cut" for number in range(5)}, **{f"B{number}": "good" for number in range(3)}}
"""How each call of a few cases goes, whatever the seed: some use up their budget, some reach the writer and end it."""

CONTRACTS = workflows.CONTRACTS.replace("class Letter", "    sure: float\n\n\nclass Letter").replace(
    "    kind: str = Field(min_length=1)\n\n\n    sure", "    kind: str = Field(min_length=1)\n    sure"
)
AGENTS = f"""
judge: {{kind: model, conn_id: storm_model, model: 'openai-chat:storm-1', prompt: prompts/judge.md.j2,
         settings: {{max_tokens: {MAX_TOKENS}}}, timeout_seconds: {TIMEOUT}, concurrency: 12, confidence_field: sure}}
writer: {{kind: function, function: "faults.storm:write_letter"}}
"""
POLICY = """
policy: storm
contract: Refund
threshold: 0.8
rules:
  - {name: certain enough, when: "confidence >= threshold", route: auto}
default: review
autonomy: {payout: automatic}
gates:
  leads: {routes: [review], voters: leads, release_after: 3s}
runbook:
  AgentRefused: {retries: 0, then: review}
  AgentTimeout: {retries: 0, then: review}
  MalformedOutput: {retries: 0, then: review}
  ConnectorUnavailable: {retries: 0, backoff_seconds: 0.1}
  default: {retries: 2, backoff_seconds: 0.2}
fresh: {Refund: 1d}
budgets:
  - {per: case, limit: 0.12}
  - {per: run, limit: 8}
  - {per: workflow, every: month, limit: 60}
stop_when: {failed_share: 0.95, at_least: 100}
"""
PRICES = (
    f"models: [{{model: storm-1, from: 2020-01-01, input: {PRICE_IN}, output: {PRICE_OUT}}}]\n"
    "people: {per_hour: 40, minutes_per_vote: 3}\n"
)
ECOSYSTEM = """
connectors:
  payout:
    {kind: http, conn_id: storm_target, path: /effects, look_path: "/effects/{key}", undo_path: "/effects/{key}",
     timeout_seconds: 1.0}
limits:
  storm_model: {in_flight: 12, breaker: {failures: 25, cool_down: 1s, give_up_after: 30s}}
"""
ACCESS = (
    workflows.ACCESS.replace("workflows.judge_again]", "workflows.judge_again, faults.storm.write_letter]")
    .replace("connections: [llm]", "connections: [llm, storm_model]")
    .replace("  llm: {", "  storm_model: {environments: [test]}\n  storm_target: {environments: [test]}\n  llm: {")
)
QUICK = 'QUICK = {{"retries": 2,'
PATIENT = 'QUICK = {{"retries": 12,'
MORE = """
from faults.storm import note

for task in DAG.tasks:
    task.pre_execute = note
"""


def note(context: Any) -> None:
    """Leave behind that a process begins to work on a task."""
    folder = Path(os.environ["AIRFLOW_HOME"]) / "sabotage" / context["dag_run"].run_id
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{context['ti'].task_id}.{os.getpid()}.began").write_text(json.dumps({"pid": os.getpid()}))


def write_letter(case: Mapping[str, Any], handoffs: Mapping[str, Any]) -> dict[str, Any]:
    """Write a letter, but for a case with ``boom`` in its text, which ends the process."""
    if "boom" in case["text"]:
        os._exit(13)
    return {"text": f"About your refund {case['refund_id']}", "amount": case["amount"]}


def write_project(bench: Bench, **inboxes: Sequence[str]) -> None:
    """Write the workflow, a file of rows for each of *inboxes*, and its Dag; and put it in force."""
    folder = f"include/{NAME}"
    bench.write(f"{folder}/contracts.py", CONTRACTS)
    bench.write(f"{folder}/policy.yaml", POLICY)
    bench.write(f"{folder}/agents.yaml", AGENTS)
    bench.write(f"{folder}/prompts/judge.md.j2", "Refund {{ case.refund_id }}: {{ case.text }}")
    bench.write(f"{folder}/workflow.yaml", workflows.WORKFLOW.replace("workflow: refunds", f"workflow: {NAME}"))
    for name, rows in inboxes.items():
        bench.write(f"{folder}/data/{name}.csv", inbox(*rows))
    bench.write("include/company/access.yaml", ACCESS)
    bench.write("include/company/ecosystem.yaml", ECOSYSTEM)
    bench.write("include/company/prices.yaml", PRICES)
    bench.publish(NAME)
    assert QUICK in DAG
    wired = DAG.replace(QUICK, PATIENT).replace(', "fallback": "draft"', "")
    bench.write(f"dags/{NAME}.py", wired.format(name=NAME, agent="judge") + MORE)


@dataclass(frozen=True)
class Call:
    """One request that the model's server got."""

    case: str
    kind: str
    at: float
    """Seconds since the epoch."""

    @property
    def is_answered(self) -> bool:
        """Whether it got an answer that the contract takes."""
        return self.kind in ("good", "overrun")


@dataclass
class Weather:
    """What the model's server does: a tenth of the calls goes wrong in each of eight ways, by the *seed*."""

    seed: int
    calls: list[Call] = field(default_factory=list)
    is_calm: bool = False

    KINDS = ("hang", "dribble", "malformed", "refused", "rate limit", "broken", "cut", "overrun")

    def choose(self, body: Body) -> Step:
        """Say how a request is answered; the server asks for one at a time."""
        found = re.search(r"Refund (\S+):", str(body["messages"][-1]["content"]))
        assert found, body["messages"]
        key = found[1]
        drawn = random.Random(f"{self.seed}/{key}/{sum(call.case == key for call in self.calls)}")
        number = drawn.randrange(10)
        kind = "good" if self.is_calm or number >= len(self.KINDS) else self.KINDS[number]
        kind = FATED.get(key, kind)
        self.calls.append(Call(key, kind, time.time()))
        return {
            "good": ok(ANSWER),
            "hang": HANG,
            "dribble": DRIBBLE,
            "malformed": drawn.choice([prose("Certainly!"), broken_json(), ok({"kind": ""})]),
            "refused": drawn.choice([refusal(), content_filtered()]),
            "rate limit": rate_limited("1"),
            "broken": error(drawn.choice([500, 503])),
            "cut": CLOSE,
            "overrun": ok(ANSWER, output_tokens=2 * MAX_TOKENS),
        }[kind]

    def by_case(self) -> dict[str, list[Call]]:
        """Return the calls of each case in order."""
        found: dict[str, list[Call]] = {}
        for call in list(self.calls):
            found.setdefault(call.case, []).append(call)
        return found

    def kinds(self) -> Counter[str]:
        """Return how many calls went how."""
        return Counter(call.kind for call in self.calls)


def bad_target(seed: int, number: int) -> list[effect_target.Step]:
    """Return how the payouts' system answers: half of the requests go wrong in five ways, each as often."""
    wrong = [
        effect_target.LOSE_ANSWER,
        effect_target.CLOSE_BEFORE,
        effect_target.FAIL_AFTER,
        effect_target.FAIL_BEFORE,
        effect_target.refuse(422),
    ]
    steps = wrong * (number // 10)
    steps += [effect_target.OK] * (number - len(steps))
    random.Random(f"{seed}/target").shuffle(steps)
    return steps


class Killer(threading.Thread):
    """Kills processes of the tasks at random moments of their work, so many times, and remembers when."""

    def __init__(self, home: Path, weather: Weather, times: Mapping[str, int]) -> None:
        super().__init__(daemon=True)
        self._home, self._weather, self._left = home, weather, dict(times)
        self._random = random.Random(f"{weather.seed}/killer")
        self._seen: set[tuple[str, str, int]] = set()
        self._over = threading.Event()
        self.killed: list[tuple[str, float]] = []
        """Task and seconds since the epoch."""

    def run(self) -> None:
        """Look for a process that has begun to work, and kill it some moments later."""
        while not self._over.wait(0.1) and any(self._left.values()):
            for run, task, pid in self._begun():
                self._seen.add((run, task, pid))
                if task == "judge":
                    self._wait_for_a_call(pid)
                self._over.wait(self._random.uniform(0.2, 4.0 if task == "judge" else 1.0))
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    self.killed.append((task, time.time()))
                    self._left[task] -= 1

    def stop(self) -> None:
        """Let nobody be killed from now on."""
        self._over.set()
        self.join()

    def _wait_for_a_call(self, pid: int) -> None:
        before = len(self._weather.calls)
        while len(self._weather.calls) == before and psutil.pid_exists(pid) and not self._over.wait(0.05):
            pass

    def _begun(self) -> list[tuple[str, str, int]]:
        found = []
        for folder in (self._home / "sabotage").glob("storm*"):
            for task, left in self._left.items():
                try:
                    pids = [mark["pid"] for mark in marks(self._home, folder.name, task, "began")] if left else []
                except ValueError:  # it is being written
                    continue
                found += [(folder.name, task, pid) for pid in pids if (folder.name, task, pid) not in self._seen]
        return found[:1]
