"""
How long the replay of 10,000 recorded decisions takes: ``python tests/benchmarks/bench_replay.py [DECISIONS]``.

The policy is the one of the support triage with a number as threshold. Its decisions are made by its own rules on texts
that differ, and written to an SQLite ledger; what is measured is reading them and deciding again.
"""

from __future__ import annotations

import copy
import random
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "plugins"), str(ROOT)]

from interlock.domain.cases.wiring import WiredTask, Wiring  # noqa: E402
from interlock.domain.policy.company import Company  # noqa: E402
from interlock.domain.policy.version import Bundle, WorkflowVersion  # noqa: E402  # the path is made above
from interlock.domain.routing.routing import Router  # noqa: E402
from interlock.engine.policy.bundle import read_bundle  # noqa: E402
from interlock.engine.routing.replay import replay_policy  # noqa: E402
from interlock.ledger.cases.case import store_payload  # noqa: E402
from interlock.ledger.policy.version import publish  # noqa: E402
from interlock.ledger.runs.run import start_run  # noqa: E402
from interlock.ledger.store.ledger import Ledger  # noqa: E402
from interlock.ledger.store.migrate import migrate  # noqa: E402
from interlock.ledger.store.schema import case, case_secret, decision  # noqa: E402
from interlock.ledger.store.transaction import Actor, Transaction, new_id  # noqa: E402

NAME = "support_triage"
SERVED = dict.fromkeys(("auto", "review", "billing", "fallback"), "draft")
WIRING = Wiring(
    {
        "route": WiredTask(task_id="route", kind="branch", downstream=("draft",), branches=SERVED),
        "draft": WiredTask(task_id="draft", kind="role"),
    }
)
WORDS = ("card", "charged", "twice", "refund", "order", "please", "when", "account", "again", "late")


def main(count: int) -> None:
    bundle = read_bundle(ROOT / "include", NAME)
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger.open(f"sqlite:///{folder}/ledger.db", "test")
        migrate(ledger.engine)
        fill(ledger, fixed(bundle, 0.8), count)
        for name, proposal in (("unchanged", fixed(bundle, 0.8)), ("lower threshold", fixed(bundle, 0.6))):
            started = time.perf_counter()
            found = replay_policy(ledger, proposal, last=count)
            took = time.perf_counter() - started
            print(f"{name:16} {found.replayed} decisions replayed, {found.flipped} flip: {took:.2f} s")
        extra = read_more(fixed(bundle, 0.8))
        started = time.perf_counter()
        found = replay_policy(ledger, extra, last=count)
        took = time.perf_counter() - started
        print(f"{'reads one more':16} {found.replayed} decisions replayed, {found.flipped} flip: {took:.2f} s")
        ledger.engine.dispose()


def fixed(bundle: Bundle, threshold: float) -> Bundle:
    """Return *bundle* with a number as its threshold: no agent is trained here."""
    files = dict(bundle.files)
    files["policy.yaml"] = files["policy.yaml"].replace("{training_error: 0.035}", str(threshold))
    assert files["policy.yaml"] != bundle.files["policy.yaml"]
    return Bundle(bundle.workflow, files, bundle.data, bundle.contracts)


def read_more(bundle: Bundle) -> Bundle:
    """Return *bundle* with a first rule that reads what no decision recorded, so every case is looked up."""
    files = dict(bundle.files)
    rule = "rules:\n  - {name: x, when: \"case.ticket_id == 'T-7'\", route: stop}\n"
    files["policy.yaml"] = files["policy.yaml"].replace("rules:\n", rule, 1)
    return Bundle(bundle.workflow, files, bundle.data, bundle.contracts)


def fill(ledger: Ledger, bundle: Bundle, count: int) -> None:
    """Write *count* cases, each with its decision by the rules of *bundle*."""
    actor = Actor("task", "bench")
    version, _ = publish(ledger, bundle, author=actor, reason="a benchmark")
    run = start_run(
        ledger,
        version=version,
        company=Company(),
        dag_id=NAME,
        run_id="bench",
        wiring=WIRING,
        triggered_by=None,
        is_resume=False,
        actor=actor,
    )
    source = random.Random(7)
    for start in range(0, count, 500):
        with ledger.write(actor=actor, chain=run.chain) as tx:
            group(tx, version, run.id, [invent(source, n) for n in range(start, min(start + 500, count))])


def invent(source: random.Random, number: int) -> dict[str, object]:
    """Return the content of a case, with its confidence and its intent under names of their own."""
    return {
        "ticket_id": f"T-{number}",
        "text": " ".join(source.choices(WORDS, k=25)) + f" {number}",
        "tier": source.choices(["standard", "private"], [9, 1])[0],
        "priority": source.choices(["normal", "urgent"], [9, 1])[0],
        "language": "en",
        "channel": source.choice(["app", "email"]),
        "account_id": f"A-{number}",
        "confidence": source.random(),
    }


def group(tx: Transaction, version: WorkflowVersion, run_id: str, contents: list[dict[str, object]]) -> None:
    """Write cases and their decisions."""
    cases, decided, files = [], [], []
    router = Router.of(version.bundle)
    secret = b"0" * 32
    for content in copy.deepcopy(contents):
        confidence = content.pop("confidence")
        known = {f"case.{name}": value for name, value in content.items()} | {
            "triage.intent": "card_arrival",
            "confidence": confidence,
            "threshold": version.bundle.policy.threshold,
            "attempt": 1,
            "missing": [],
            "known": sorted(content),
        }
        said = router.decide(known)
        case_id = new_id()
        files += [(case_id, secret, content), (case_id, secret, dict(said.inputs))]
        cases.append(
            {
                "id": case_id,
                "environment": "test",
                "workflow": NAME,
                "business_key": content["ticket_id"],
                "state": "routed",
                "run_id": run_id,
                "attempt": 1,
                "contract": "Ticket@1",
                "context": {},
                "source": "bench",
                "opened_at": tx.at,
                "changed_at": tx.at,
            }
        )
        decided.append(
            {
                "id": new_id(),
                "case_id": case_id,
                "run_id": run_id,
                "task": "route",
                "attempt": 1,
                "rule": said.rule,
                "route": said.route,
                "confidence": confidence,
                "threshold": version.bundle.policy.threshold,
                "version_id": version.id,
                "decided_by": "policy:1",
                "error": said.error,
                "created_at": tx.at,
            }
        )
    for (
        row,
        (_, _, body),
    ) in zip(cases, files[::2], strict=True):
        row["payload_digest"] = keyed(secret, body)
    for row, (_, _, body) in zip(decided, files[1::2], strict=True):
        row["inputs_digest"] = keyed(secret, body)
    tx.insert(case, cases, kind="case.taken_in")
    tx.insert_quietly(case_secret, [{"case_id": row["id"], "secret": secret} for row in cases])
    store_payload(tx, files)
    tx.insert(decision, decided, kind="decision.made")


def keyed(secret: bytes, body: object) -> str:
    from interlock.domain.base.canonical import keyed_digest

    return keyed_digest(secret, body)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
