"""The records of rows: their fields are the tables' columns, and the type checker refuses any other."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import MISSING, FrozenInstanceError, fields
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_type_hints

import pytest
from interlock.ledger.runs.run import WorkflowRun
from interlock.ledger.store import record, schema
from interlock.ledger.store.column import Json, Money, UtcDateTime
from interlock.ledger.store.record import UNSET, Case, CaseChange, Record
from sqlalchemy import Table

PLUGINS = Path(record.__file__).parents[3]
TABLES: dict[type[Record], Table] = {
    record.Case: schema.case,
    record.Handoff: schema.handoff,
    record.RoutingDecision: schema.decision,
    record.Authorisation: schema.authorisation,
    record.GateRequest: schema.gate_request,
    record.Vote: schema.vote,
    record.GateListing: schema.gate_listing,
    record.Effect: schema.effect,
    record.Run: schema.workflow_run,
    record.ProviderBatch: schema.provider_batch,
    record.Reading: schema.reading,
    record.Incident: schema.incident,
    record.KillSwitch: schema.kill_switch,
    record.Deployment: schema.deployment,
    record.Notice: schema.notice,
    record.Delegation: schema.delegation,
    record.Outcome: schema.outcome,
    record.Quote: schema.quote,
    record.VersionApproval: schema.approval,
    record.VersionInForce: schema.version_in_force,
    record.QualityReport: schema.quality_report,
}
CHECKED = (
    record.Case,
    record.CaseChange,
    record.Handoff,
    record.RoutingDecision,
    record.GateRequest,
    record.Vote,
    record.Authorisation,
    record.Effect,
    record.Run,
    WorkflowRun,
)


def test_every_record_is_of_a_table():
    declared = {kind for kind in vars(record).values() if isinstance(kind, type) and issubclass(kind, Record)}

    assert declared - {Record} == set(TABLES)


@pytest.mark.parametrize("kind", TABLES, ids=lambda kind: kind.__name__)
def test_a_record_has_its_tables_columns_and_no_other_field(kind: type[Record]):
    columns = {column.name: column for column in TABLES[kind].columns}
    hints = get_type_hints(kind)

    assert {field.name for field in fields(kind)} == set(columns)
    for field in fields(kind):
        column, hint = columns[field.name], hints[field.name]
        may_be_none = NoneType in get_args(hint)
        assert may_be_none == column.nullable, f"{field.name} is {hint}"
        assert field.default is (None if column.nullable else MISSING), f"{field.name} without a value"
        if not isinstance(column.type, Json):
            wanted = {UtcDateTime: datetime, Money: Decimal}.get(type(column.type), column.type.python_type)
            assert hint == (wanted | None if may_be_none else wanted), f"{field.name} is {hint}"


def test_what_changes_of_a_case_is_a_column_with_the_same_type():
    case, change = get_type_hints(Case), get_type_hints(CaseChange)

    assert {name: hint | record.Unset for name, hint in case.items() if name in change} == change
    assert set(case) - set(change) == {
        "id", "environment", "workflow", "parent_id", "source", "opened_at", "changed_at", "revision", "seal"
    }  # fmt: skip
    assert all(field.default is UNSET for field in fields(CaseChange))


def test_a_record_is_never_written_to():
    case = Case.from_values({column.name: None for column in schema.case.columns})

    with pytest.raises(FrozenInstanceError):
        case.state = "dead"  # type: ignore[misc]  # what is tested


def test_a_misspelt_field_of_a_record_is_refused_by_the_type_checker(tmp_path: Path, pytestconfig: pytest.Config):
    uses, wrong = _uses()
    file, config = tmp_path / "uses.py", tmp_path / "mypy.ini"
    file.write_text("\n".join(uses) + "\n", encoding="utf-8")
    config.write_text(MYPY.format(plugins=PLUGINS), encoding="utf-8")
    assert pytestconfig.cache is not None
    told = subprocess.run(
        [
            sys.executable, "-m", "mypy", "--no-error-summary", "--hide-error-context", "--no-pretty",
            "--config-file", str(config), "--cache-dir", str(pytestconfig.cache.mkdir("mypy")), str(file),
        ],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert not told.stderr
    errors = [line.split(":", 2) for line in told.stdout.splitlines() if ": error: " in line]
    found = {int(number): message for _, number, message in errors}
    assert [int(number) for _, number, _ in errors] == list(wrong), told.stdout
    for number, (kind, name) in wrong.items():
        assert f'"{name}"' in found[number], found[number]
        assert f'"{kind}"' in found[number], found[number]


MYPY = """
[mypy]
python_version = 3.11
mypy_path = {plugins}
namespace_packages = true
explicit_package_bases = true
follow_imports = silent
ignore_missing_imports = true

# What a record is does not depend on them.
[mypy-sqlalchemy.*,pydantic.*,numpy.*,pandas.*,airflow.*,yaml.*,cel_expr_python.*,cryptography.*]
follow_imports = skip
"""


def _uses() -> tuple[list[str], dict[int, tuple[str, str]]]:
    """Return a module's lines, and which of them are wrong: the record, and the name that it has not."""
    lines = ["from typing import Any"]
    lines += [f"from {kind.__module__} import {kind.__name__}" for kind in CHECKED]
    lines.append("def use(row: Any) -> None:")
    wrong: dict[int, tuple[str, str]] = {}
    for number, kind in enumerate(CHECKED):
        names = [field.name for field in fields(kind)]
        right, misspelt = names[-1], names[-1][:-2] + names[-1][-1]
        required = {field.name: "row" for field in fields(kind) if field.default is MISSING}
        lines.append(f"    v{number}: {kind.__name__} = row")
        lines.append(f"    v{number}.{right}")
        lines.append(f"    v{number}.{misspelt}")
        wrong[len(lines)] = (kind.__name__, misspelt)
        lines.append(f"    {_call(kind, {**required, right: 'row'})}")
        lines.append(f"    {_call(kind, {**required, misspelt: 'row'})}")
        wrong[len(lines)] = (kind.__name__, misspelt)
    return lines, wrong


def _call(kind: type, given: dict[str, str]) -> str:
    return f"{kind.__name__}({', '.join(f'{name}={value}' for name, value in given.items())})"


def test_a_change_has_only_what_was_given_none_included():
    change = CaseChange(state="routed", route=None)

    assert change.values() == {"state": "routed", "route": None}
    assert CaseChange().values() == {}


def test_of_two_changes_as_one_the_second_counts():
    at = datetime(2026, 3, 2, tzinfo=UTC)
    first = CaseChange(state="waiting", wait_for="budget", wait_until=at)
    second = CaseChange(state="open", wait_for=None, task="judge")

    both = first | second

    assert both == CaseChange(state="open", wait_for=None, wait_until=at, task="judge")
    assert first == CaseChange(state="waiting", wait_for="budget", wait_until=at), "neither is changed"
    assert first | CaseChange() == CaseChange() | first == first


def test_a_record_of_a_row_leaves_the_row_and_gives_it_back(sqlite_ledger: Any, tmp_path: Path):
    from sqlalchemy import select
    from workflows import Workflow, rows

    flow = Workflow(tmp_path, sqlite_ledger)
    flow.intake(rows("a", "b"))
    with sqlite_ledger.read() as connection:
        found = connection.execute(select(schema.case, schema.case.c.id.label("more"))).all()

    made = Case.all_of(found)

    for row, one in zip(found, made, strict=True):
        assert {**one.values(), "more": one.id} == dict(row._mapping)
        assert Case(**{field.name: getattr(one, field.name) for field in fields(Case)}) == one
    made[0].values()["state"] = "dead"
    assert made[0].state == "open", "what values() gives is a new dictionary"
