"""``airflow interlock policy …``"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

from interlock.commands.person import call
from interlock.commands.terminal import command, print_json, print_table
from interlock.domain.cases.wiring import Wiring
from interlock.domain.policy.company import COMPANY, Company
from interlock.domain.policy.version import Bundle
from interlock.engine.policy.bundle import read_bundle
from interlock.engine.policy.publication import problems_of, versions
from interlock.errors import ConfigurationError, InputError, PolicyError
from interlock.hooks.ledger import LedgerHook
from interlock.hooks.setting import include_path
from interlock.ledger.policy.company import company_in_force
from interlock.ledger.policy.version import changes_in_force, in_force, version_numbered
from interlock.ledger.store.migrate import is_made


def _include(args: Any) -> Path:
    return Path(args.include).resolve() if args.include else include_path()


def _proposal(args: Any) -> tuple[Bundle, Wiring | None]:
    bundle = read_bundle(_include(args), args.workflow)
    return bundle, None if args.workflow == COMPANY else find_wiring(args.dag or args.workflow, required=bool(args.dag))


def _body(args: Any) -> dict[str, Any]:
    bundle, wiring = _proposal(args)
    return {"bundle": bundle.to_json(), "reason": args.reason, "wiring": wiring.to_json() if wiring else None}


def _version(args: Any) -> dict[str, Any]:
    """Return the version with the number asked for, or the newest."""
    found = call("GET", f"/versions/{quote(args.workflow, safe='')}")["versions"]
    wanted = [row for row in found if args.number in (None, row.number)]
    if not wanted:
        known = ", ".join(str(row.number) for row in found) or "none"
        which = "" if args.number is None else f" {args.number}"
        raise InputError(f"there is no version{which} of {args.workflow!r} here (known: {known})")
    return dict(wanted[0])


def _print_missing_approvals(answer: dict[str, Any]) -> None:
    for line in answer["lacks"]:
        print(f"  missing: {line}")


def find_wiring(dag_id: str, *, required: bool) -> Wiring | None:
    """
    Return the wiring of Dag *dag_id* in the Dags folder; None when there is no such Dag and it is not required.

    :raises ConfigurationError: the Dag is required and does not exist, or its file cannot be imported.
    """
    from airflow.configuration import conf
    from airflow.dag_processing.dagbag import DagBag

    from interlock.operators.runtime import wiring_of

    folder = conf.get("core", "dags_folder")
    bag = DagBag(folder, collect_dags=False)
    candidates = [
        p for p in sorted(Path(folder).rglob("*.py")) if dag_id in p.read_text(encoding="utf-8", errors="ignore")
    ]
    for path in candidates:
        bag.process_file(str(path))
    if dag_id in bag.dags:
        return wiring_of(bag.dags[dag_id])
    failures = "; ".join(f"{path}: {str(text).strip().splitlines()[-1]}" for path, text in bag.import_errors.items())
    if failures:
        raise ConfigurationError(f"Dag {dag_id!r} cannot be imported: {failures}")
    if required:
        raise ConfigurationError(f"there is no Dag {dag_id!r} in {folder}")
    return None


@command
def check(args: Any) -> None:
    """Print all errors in the policy, or that there are none."""
    bundle, wiring = _proposal(args)
    ledger = LedgerHook().get_conn()
    company = company_in_force(ledger) if is_made(ledger.engine) else Company()
    if company.number is None and bundle.workflow != COMPANY:  # nothing is in force yet: the proposed files count
        company = Company(read_bundle(_include(args), COMPANY))
    context: dict[str, Any] = {"environment": ledger.environment, "wiring": wiring, "today": ledger.clock()}
    if problems := problems_of(bundle, company, **context):
        lines = ["", *problems]
        if company.number is not None and bundle.workflow != COMPANY and (_include(args) / COMPANY).is_dir():
            remaining = problems_of(bundle, Company(read_bundle(_include(args), COMPANY)), **context)
            if gone := len(problems) - len(remaining):
                lines.append(
                    f"The folder {COMPANY} differs from version {company.number} in force here, and would solve "
                    f"{gone} of {len(problems)} problems. Publish it first: airflow interlock policy publish {COMPANY}"
                )
        raise PolicyError("\n  ".join(lines))
    dag = "with its Dag" if wiring else "without a Dag (there is none of that name)"
    print(f"{args.workflow}: no errors, validated {dag}; digest {bundle.digest[:12]}")
    if any(path.startswith("kpis/") for path in bundle.files):
        from interlock.engine.policy.kpi_check import kpi_notes

        for note in kpi_notes(bundle):
            print(f"  note: {note}")


@command
def publish(args: Any) -> None:
    """Propose a version, and activate it unless approvals are missing, as the person who is logged in."""
    answer = call("POST", "/versions", _body(args))
    name = f"version {answer['number']} of {answer['workflow']}"
    if answer["is_in_force"]:
        what = "is in force" if answer["is_new"] else "is unchanged and already in force"
        print(f"{name} {what} in {answer['environment']}; digest {answer['digest'][:12]}, by {answer['author']}")
        return
    print(f"{name} is proposed in {answer['environment']}, but not in force yet; digest {answer['digest'][:12]}")
    _print_missing_approvals(answer)
    print(f"next, once approved: airflow interlock policy promote {answer['workflow']}")


@command
def propose(args: Any) -> None:
    """Record the files, or another environment's version, as the next version."""
    if args.origin is not None:
        path = f"/versions/{quote(args.workflow, safe='')}/bring-over"
        answer = call("POST", path, {"origin": args.origin, "reason": args.reason})
    else:
        answer = call("POST", "/versions/propose", _body(args))
    what = "is proposed" if answer["is_new"] else "has the same content; nothing was proposed"
    print(f"version {answer['number']} of {answer['workflow']} {what}; digest {answer['digest'][:12]}")
    _print_missing_approvals(answer)


@command
def approve(args: Any) -> None:
    """Approve or reject a version as the person who is logged in."""
    version = _version(args)
    if args.digest and not version["digest"].startswith(args.digest):
        raise InputError(f"version {version['number']} has digest {version['digest'][:12]}, not {args.digest[:12]}")
    body = {
        "answer": "reject" if args.reject else "approve",
        "digest": version["digest"],
        "reason": args.reason,
    }
    path = f"/versions/{quote(args.workflow, safe='')}/{version['number']}/approval"
    answer = call("POST", path, body)
    print(f"version {answer['number']} of {answer['workflow']} is {_APPROVAL[answer['state']]}")
    _print_missing_approvals(answer)


_APPROVAL = {"open": "not fully approved yet", "approved": "approved", "rejected": "rejected"}


@command
def promote(args: Any) -> None:
    """Activate a version as the person who is logged in."""
    version = _version(args)
    wiring = None if args.workflow == COMPANY else find_wiring(args.dag or args.workflow, required=bool(args.dag))
    body = {"reason": args.reason, "since": args.at, "wiring": wiring.to_json() if wiring else None}
    answer = call("POST", f"/versions/{quote(args.workflow, safe='')}/{version['number']}/promotion", body)
    print(
        f"version {answer['number']} of {answer['workflow']} is in force in {answer['environment']} from "
        f"{answer['since']}; digest {answer['digest'][:12]}, by {answer['set_by']}"
    )


@command
def export(args: Any) -> None:
    """Print or write a version, signed, for another environment."""
    query = f"?number={args.number}" if args.number is not None else ""
    document = call("POST", f"/versions/{quote(args.workflow, safe='')}/export{query}")
    text = json.dumps(document, indent=1, ensure_ascii=False)
    if args.file is None:
        print(text)
        return
    with Path(args.file).open("x", encoding="utf-8") as stream:
        stream.write(text + "\n")
    print(
        f"version {document['number']} of {document['workflow']} from {document['environment']} is in "
        f"{args.file}; digest {document['digest'][:12]}, key {document['key']}"
    )


@command
def import_(args: Any) -> None:
    """Propose a version that another environment exported."""
    path = Path(args.file)
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{args.file!r} cannot be read as an exported version: {error}") from None
    answer = call("POST", "/versions/import", {"document": document, "reason": args.reason})
    origin = answer["origin"]
    what = "is proposed" if answer["is_new"] else "already exists"
    print(
        f"version {origin['number']} of {answer['workflow']} in {origin['environment']} {what} in "
        f"{answer['environment']} as version {answer['number']}; digest {answer['digest'][:12]}, by {answer['author']}"
    )


@command
def key(args: Any) -> None:
    """Print a new key pair for signing exported versions."""
    from interlock.engine.policy.version_transfer import new_key

    private, public = new_key()
    print(
        "Where you export versions, store the private key as the password of a connection:\n"
        f"  airflow connections add interlock_signing --conn-type generic --conn-password {private}\n"
        "Where you import them, add the public key to company/approvals.yaml, under the environment that exports:\n"
        f"  trusted_keys: {{test: {public}}}"
    )


@command
def show(args: Any) -> None:
    """Print the policy in force, or a summary of it."""
    from interlock.domain.policy.policy_summary import matrix_text

    ledger = LedgerHook().get_conn()
    version = in_force(ledger, args.workflow)
    if args.json:
        print_json(
            {
                "number": version.number,
                "digest": version.bundle.digest,
                "policy": version.bundle.policy.model_dump(mode="json"),
            }
        )
    elif args.matrix:
        print(matrix_text(version.bundle.policy, title=str(version)))
    else:
        print(f"# version {version}, by {version.author}, digest {version.bundle.digest}")
        if args.workflow == COMPANY:
            print("\n".join(f"# {name}\n{text}" for name, text in version.bundle.files.items()))
            return
        reviewed = version.bundle.policy.reviewed
        if reviewed is not None and reviewed.until < ledger.clock().date():
            print(f"# WARNING: overdue for review: last reviewed on {reviewed.last}, due by {reviewed.until}")
        print(version.bundle.text("policy.yaml"))


@command
def history(args: Any) -> None:
    """List the versions, newest first, and each rollback."""
    ledger = LedgerHook().get_conn()
    rows, changes = versions(ledger, args.workflow), changes_in_force(ledger, args.workflow)
    if args.json:
        print_json({"versions": rows, "in_force": [change.values() for change in changes]})
        return
    print_table(
        [
            {
                **row,
                "digest": row["digest"][:12],
                "approvals": ", ".join(f"{a['person']} {a['answer']}s" for a in row["approvals"]),
                "lacks": "; ".join(row["lacks"]),
            }
            for row in rows
        ],
        {
            "number": "VERSION",
            "state": "STATE",
            "published_at": "SINCE",
            "in_force_since": "IN FORCE SINCE",
            "author": "BY",
            "digest": "DIGEST",
            "approvals": "APPROVALS",
            "lacks": "MISSING",
            "reason": "REASON",
        },
        empty=f"No version of {args.workflow!r} was published here",
    )
    for change in changes:
        if change.instead_of is not None:
            print(
                f"{change.since.isoformat(timespec='seconds')}: version {change.number} was put in force again, "
                f"replacing {change.instead_of}, by {change.set_by}: {change.reason}"
            )


@command
def diff(args: Any) -> None:
    """Print the differences between two versions (default: the one in force and the include folder)."""
    from interlock.domain.policy.version_diff import difference

    ledger = LedgerHook().get_conn()
    before = in_force(ledger, args.workflow) if args.a is None else version_numbered(ledger, args.workflow, args.a)
    first = f"version {before.number}" + (" (in force)" if args.a is None else "")
    if args.b is None:
        include = Path(args.include).resolve() if args.include else include_path()
        after, second = read_bundle(include, args.workflow), "include"
    else:
        after, second = version_numbered(ledger, args.workflow, args.b).bundle, f"version {args.b}"
    text = difference(before.bundle, after, names=(first, second))
    print(text or f"{first} and {second} of {args.workflow} are the same; digest {after.digest[:12]}")


@command
def rollback(args: Any) -> None:
    """Put an earlier version in force again, as the person who is logged in."""
    answer = call("POST", f"/workflows/{args.workflow}/rollback", {"number": args.to, "reason": args.reason})
    print(
        f"version {answer['number']} of {answer['workflow']} is in force again in {answer['environment']} instead of "
        f"{answer['instead_of']}; digest {answer['digest'][:12]}, by {answer['set_by']}. "
        "Runs that have started keep their version"
    )
