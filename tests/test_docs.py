"""
Whether the guide names everything that a user can write or call, and whether what README shows works.

The names come from the code (models, signatures, commands, tables), so a new one that nobody documented fails here. The
workflow that README prints is written out, published and run.
"""

from __future__ import annotations

import ast
import csv
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, get_args
from urllib.parse import unquote

import pytest
from interlock import errors
from interlock.domain.agents import agent
from interlock.domain.agents.rate_limit import parse_limits
from interlock.domain.approvals.access import RIGHTS, Environment, parse_access
from interlock.domain.approvals.approval import parse_approvals
from interlock.domain.base.calendar import parse_calendar
from interlock.domain.base.expression import KNOWN
from interlock.domain.cases.case import CaseState
from interlock.domain.cost.budget import parse_budgets
from interlock.domain.cost.price import parse_prices
from interlock.domain.data import source
from interlock.domain.data.dataset import Control, Dataset, Volume
from interlock.domain.data.quality import Expectation, Suite, parse_suite
from interlock.domain.effects import connector
from interlock.domain.facts.anomaly import Detector
from interlock.domain.facts.indicator import Indicator, Kpis
from interlock.domain.facts.insight import InsightRule, Insights, ReviewOf
from interlock.domain.policy import policy, version
from interlock.domain.policy.company import COMPANY, Company
from interlock.domain.policy.workflow import Intake, Label, ResponsiblePerson, Workflow
from interlock.domain.reports.kpi import Kpi
from interlock.provider_info import get_provider_info
from interlock.settings_import import read_settings
from pydantic import BaseModel
from workflows import put_in_force

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "include" / "docs"
GUIDE = DOCS / "guide"
README = ROOT / "README.md"
PAGES = [README, *sorted(DOCS.rglob("*.md"))]

AGENTS = (
    agent.ClassifierAgent,
    agent.RetrievalAgent,
    agent.TemplateAgent,
    agent.FunctionAgent,
    agent.ReportAgent,
    agent.ModelAgent,
)
CONNECTORS = (connector.OutboxConnector, connector.HttpConnector, connector.MailConnector)
SOURCES = (source.FileSource, source.SqlSource, source.HttpSource, source.RowsSource)
WORKFLOW = (Workflow, ResponsiblePerson, Intake, Label, Kpi)
POLICY = (
    policy.Policy,
    policy.Rule,
    policy.TrainingThreshold,
    policy.Gate,
    policy.Check,
    policy.Recovery,
    policy.StopWhen,
)


def page(name: str) -> str:
    return (GUIDE / f"{name}.md").read_text("utf-8")


def unnamed(names: Iterable[str], text: str) -> list[str]:
    """Return those of *names* that stand nowhere in *text* as code: in backticks, or as a key of an example."""
    code = "\n".join(re.findall(r"```.*?```|`[^`\n]+`", text, re.DOTALL))
    return [name for name in names if not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", code)]


def section(text: str, heading: str) -> str:
    found = re.search(rf"^## [^\n]*\b{heading}\b.*?(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    assert found, f"no section names {heading}"
    return found[0]


@pytest.mark.parametrize(
    ("name", "models"),
    [
        ("policy", POLICY),
        ("workflow", (*WORKFLOW, *CONNECTORS)),
        ("sources", SOURCES),
        ("expectations", (Suite, Expectation)),
        ("anomalies", (Detector,)),
        ("datasets", (Dataset, Volume, Control)),
        ("kpis", (Kpis, Indicator)),
        ("insights", (Insights, InsightRule, ReviewOf)),
    ],
)
def test_every_key_of_a_file_is_in_its_page(name: str, models: tuple[type[BaseModel], ...]):
    assert unnamed([field for model in models for field in model.model_fields], page(name)) == []


@pytest.mark.parametrize("declared", AGENTS)
def test_every_key_of_an_agent_is_in_the_section_of_its_kind(declared: type[BaseModel]):
    text = page("agents")
    [kind] = declared.model_fields["kind"].annotation.__args__  # type: ignore[union-attr]  # a Literal
    own = set(declared.model_fields) - {"kind", "description"}

    assert unnamed(sorted(own), section(text, kind)) == []
    assert unnamed(["kind", "description"], text) == []


def test_every_kind_of_agent_and_every_format_is_one_that_these_tests_know():
    """A kind that is added without its page would pass all others."""
    declared = [member for member in vars(agent).values() if inspect.isclass(member) and issubclass(member, BaseModel)]
    kinds = {member for member in declared if "kind" in member.model_fields}
    assert kinds == set(AGENTS)
    assert unnamed(list(source.SUFFIXES), page("sources")) == []


def test_every_variable_and_built_in_route_is_in_the_policy_page():
    assert unnamed([*KNOWN, *policy.BUILT_IN_ROUTES], page("policy")) == []


def test_every_parameter_of_every_operator_is_in_its_section():
    from interlock import operators, sensors

    text = page("operators")
    classes = [
        getattr(module, name)
        for module in (operators, sensors)
        for name in module.__all__
        if name != "AgentRoleOperator"  # the base, which no Dag uses
    ]
    assert len(classes) >= 10
    seen: set[str] = set()
    for cls in classes:
        ours = inspect.unwrap(cls.__init__)
        own = [
            name
            for name, parameter in inspect.signature(ours).parameters.items()
            if name != "self"
            and parameter.kind is inspect.Parameter.KEYWORD_ONLY
            and ours.__module__.startswith("interlock.")
        ]
        assert unnamed(own, section(text, cls.__name__)) == [], cls.__name__
        seen.update(own)
    # Airflow wraps __init__: if the wrapper were looked at, nothing would be found and all would seem well.
    assert seen >= {"workflow", "source", "contract", "agent", "reads", "routes", "suite", "gate", "connector"}


def test_every_option_of_the_configuration_is_in_the_settings_page():
    assert unnamed(get_provider_info()["config"]["interlock"]["options"], page("settings")) == []


def test_every_command_and_flag_is_in_the_commands_page():
    from interlock.cli import get_commands

    text = page("commands")
    for words, command in commands(get_commands()):
        assert unnamed([f"airflow {words}"], text) == []
        for argument in command.args:
            for flag in argument.flags:
                if flag.startswith("--"):
                    lines = [line for line in text.splitlines() if line.startswith(f"airflow {words} ")]
                    assert any(flag in line for line in lines), f"airflow {words} {flag}"


def commands(group: Iterable[Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for command in group:
        words = f"{before} {command.name}".strip()
        if hasattr(command, "subcommands"):
            yield from commands(command.subcommands, words)
        else:
            yield words, command


def test_every_command_that_a_page_shows_exists():
    from interlock.cli import get_commands

    known = {words for words, _ in commands(get_commands())}
    for path in PAGES:
        for shown in re.findall(r"airflow (interlock(?: [a-z]+)+)", path.read_text("utf-8")):
            # A group alone ("the commands of …") is named, too.
            told = [words for words in known if f"{words} ".startswith(f"{shown} ") or shown.startswith(f"{words} ")]
            assert told, f"{path.name}: airflow {shown}"


def test_every_table_is_in_the_ledger_page_and_every_state_in_the_concepts():
    from interlock.ledger.store.schema import metadata

    assert unnamed(metadata.tables, page("ledger")) == []
    assert unnamed([state.value for state in CaseState], page("concepts")) == []


def test_every_class_of_failure_is_told_with_whether_a_retry_helps():
    text = section(page("failures"), "failure")
    members = [value for value in vars(errors).values() if inspect.isclass(value)]
    classes = [value for value in members if issubclass(value, errors.InterlockError)]
    for cls in classes:
        row = re.search(rf"^\| `{cls.__name__}` \| (\w+) \|", text, re.MULTILINE)
        assert row, f"{cls.__name__} has no row"
        if cls is not errors.SourceError:  # set on the instance, where a service may be back later
            assert row[1] == ("yes" if cls.retryable else "no"), cls.__name__


def examples(path: Path, language: str) -> list[Any]:
    """Return the code blocks of *language* on a page, parsed as YAML."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", path.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    return [version.load_yaml(block, where=path.name) for block in blocks]


def test_the_examples_of_the_guide_are_accepted_by_what_reads_them():
    said, redaction, budgets = examples(GUIDE / "policy.md", "yaml")
    assert len(policy.parse_policy({**said, **budgets}).budgets) == 3
    limits, prices, of_the_company = examples(GUIDE / "engine.md", "yaml")
    assert parse_limits(limits)["support_model"].in_flight == 32
    assert parse_prices(prices).problems() == parse_budgets(of_the_company).problems() == []
    assert policy.parse_policy({**said, **redaction}).redaction.names == "required"
    assert policy.parse_policy(said).threshold == policy.TrainingThreshold(training_error=0.035)
    [suite] = examples(GUIDE / "expectations.md", "yaml")
    assert len(parse_suite(suite).expectations) == 2
    workflow, access, approvals, calendar, ecosystem = examples(GUIDE / "workflow.md", "yaml")
    assert Workflow.model_validate(workflow).intake.key == "number"
    groups = parse_access(access).groups
    assert parse_access(access).problems() == []
    [uses] = examples(GUIDE / "personal_data.md", "yaml")
    assert parse_access(uses).uses[0].data == ("message",)
    assert parse_approvals(approvals).problems(groups) == []
    assert parse_calendar(calendar).time_zone == "Europe/London"
    assert set(connector.parse_ecosystem(ecosystem)) == {"outbox", "helpdesk"}
    with_a_model = [said for said in examples(README, "yaml") if "payment_writer" in said]
    assert {parsed["payment_writer"].kind for parsed in map(agent.parse_agents, with_a_model)} == {"template", "model"}


def test_the_example_of_a_settings_file_can_be_imported(tmp_path: Path):
    [said] = re.findall(r"^```yaml\n(airflow:.*?)^```", page("settings"), re.DOTALL | re.MULTILINE)
    (tmp_path / "airflow_settings.yaml").write_text(said, encoding="utf-8")

    settings = read_settings(tmp_path / "airflow_settings.yaml")

    assert [wanted["conn_id"] for wanted in settings.connections] == ["interlock_outbox"]
    assert settings.warnings == ()


# --- links, make, words ---


def links(path: Path) -> list[str]:
    text = re.sub(r"```.*?```", "", path.read_text("utf-8"), flags=re.DOTALL)
    return re.findall(r"\]\(([^)\s]+)\)", text)


def slugs(path: Path) -> set[str]:
    text = re.sub(r"```.*?```", "", path.read_text("utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_lead_somewhere(path: Path):
    for link in links(path):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = unquote(link).partition("#")
        place = (path.parent / target).resolve() if target else path
        assert place.exists(), f"{link} leads nowhere"
        if anchor:
            assert anchor in slugs(place), f"{link}: no such heading"


def test_every_page_of_the_guide_is_linked_from_readme():
    linked = {(ROOT / link.partition("#")[0]).resolve() for link in links(README)}
    assert set(GUIDE.glob("*.md")) <= linked


def test_every_decision_says_context_choice_and_cost_under_its_number():
    for number, path in enumerate(sorted((DOCS / "decisions").glob("*.md")), 1):
        text = path.read_text("utf-8")
        assert path.name.startswith(f"{number:04}-")
        assert text.startswith(f"# {number}. ")
        for part in ("**Context.**", "**Choice.**", "**Cost.**"):
            assert part in text, f"{path.name} has no {part}"


def test_the_targets_and_variables_that_readme_gives_make_exist():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    code = "\n".join(re.findall(r"```bash\n.*?```|`[^`\n]+`", README.read_text("utf-8"), re.DOTALL))
    used = re.findall(r"\bmake ((?:[a-z]+)(?: [A-Z]+=\S+)*)", code)

    assert {call.split()[0] for call in used} >= {"run", "test"}
    for call in used:
        target, *given = call.split()
        assert target in targets
        for name in (word.partition("=")[0] for word in given):
            assert f"$({name})" in makefile, f"make {call}: the Makefile knows no {name}"


FORBIDDEN = (
    r"(?<![\w.])/(work|tmp|root|home)/",
    r"\bissue #?\d+|(?<![\w&])#\d+\b",
    r"\b(this|last|my|previous) session\b|\bClaude\b|\bChatGPT\b|\bassistant\b",
    r"\b(pypi|npmjs|registry|artifactory|nexus)\.[a-z.]+",
    r"\b(10|172|192)\.\d+\.\d+\.\d+",
)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_pages_speak_of_the_product_alone(path: Path):
    text = path.read_text("utf-8")
    assert [found[0] for pattern in FORBIDDEN for found in re.finditer(pattern, text, re.IGNORECASE)] == []


# What Airflow's own documentation would not say, and what it says instead.
DENIED = {
    r"left out": "default, optional, omitted",
    r"put aside": "quarantined",
    r"stands? at": "is at, waits at",
    r"takes? up": "resumes, picks up",
    r"takes? \w+ up": "resumes, picks up",
    r"holds? [\w ]{1,30} against": "validates … with, compares … with",
    r"told": "reported, shown",
    r"anew": "again",
    r"another than": "other than",
    r"what of": "which",
    r"dearer|dear(?! \w+,)": "expensive, more expensive",
    r"whoever": "the one who, anyone who",
    r"the most of": "the maximum of",
}


def denied_in(text: str) -> list[str]:
    return [
        f"{found[0]!r}: write {better!r}"
        for pattern, better in DENIED.items()
        for found in re.finditer(rf"\b(?:{pattern})\b", text, re.IGNORECASE)
    ]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_pages_use_the_fields_terms(path: Path):
    if path.parent.name == "decisions":  # they stay as they were written
        return
    prose = re.sub(r"```.*?```|`[^`\n]*`|\]\([^)]*\)", "", path.read_text("utf-8"), flags=re.DOTALL)
    assert denied_in(prose) == []


def test_help_texts_use_the_fields_terms():
    from interlock.cli import get_commands

    def helps(group: Iterable[Any]) -> Iterator[str]:
        for command in group:
            yield str(command.help or "")
            yield from helps(getattr(command, "subcommands", ()))
            yield from (str(argument.kwargs.get("help", "")) for argument in getattr(command, "args", ()))

    texts = list(helps(get_commands()))
    assert len(texts) > 150
    assert [(text, wrong) for text in texts if (wrong := denied_in(text))] == []


def test_options_of_the_configuration_use_the_fields_terms():
    options = get_provider_info()["config"]["interlock"]["options"]
    assert [(name, wrong) for name, said in options.items() if (wrong := denied_in(said["description"]))] == []


@pytest.mark.parametrize("name", ["console/templates", "reporting/templates", "console/static"])
def test_pages_of_the_console_use_the_fields_terms(name: str):
    folder = ROOT / "plugins" / "interlock" / name
    for path in sorted(folder.glob("*.*")):
        if path.suffix not in (".j2", ".js"):
            continue
        text = re.sub(r"\{[%{#].*?[%}#]\}|<[^>]*>|//[^\n]*|/\*.*?\*/", " ", path.read_text("utf-8"), flags=re.DOTALL)
        assert denied_in(text) == [], path.name


def messages_in(path: Path) -> Iterator[str]:
    """Yield the texts of a module that people read: those of errors, and of what is logged and printed."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func).rpartition(".")[2]
        if name.endswith(("Error", "Unavailable", "Refused", "Authorised", "Exhausted", "Stopped", "Superseded")) or (
            name in ("print", "info", "warning", "error", "SystemExit")
        ):
            keys = {id(part.slice) for part in ast.walk(node) if isinstance(part, ast.Subscript)}
            for part in ast.walk(node):
                if isinstance(part, ast.Constant) and isinstance(part.value, str) and id(part) not in keys:
                    yield part.value


def test_messages_use_the_fields_terms():
    wrong = [
        (path.relative_to(ROOT).as_posix(), text, found)
        for path in sorted((ROOT / "plugins" / "interlock").rglob("*.py"))
        for text in messages_in(path)
        if (found := denied_in(text))
    ]
    assert wrong == []


# --- the guide against the code ---


def test_every_word_of_the_glossary_is_used_in_the_guide():
    rows = re.findall(r"^\| \[([^\]]+)\]\([^)]+\) \| (.+) \|$", page("glossary"), re.MULTILINE)
    assert len(rows) > 40
    words = [word for word, _ in rows]
    assert words == sorted(words, key=str.casefold)
    guide = "\n".join(path.read_text("utf-8") for path in GUIDE.rglob("*.md") if path.stem != "glossary")
    unused = [word for word in words if not re.search(re.escape(word.strip("`")).replace(r"\ ", r"\s+"), guide, re.I)]
    assert unused == []


def test_the_glossary_holds_every_word_of_the_model():
    text = page("glossary").casefold()
    for name in ("workflow", "case", "role", "agent", "contract", "handoff", "confidence", "policy", "rule", "route"):
        assert f"[{name}" in text
    for name in ("gate", "vote", "effect", "outcome", "budget", "ledger", "environment"):
        assert f"[{name}" in text


def test_every_right_is_in_the_workflow_page_and_no_page_names_another():
    assert unnamed(RIGHTS, page("workflow")) == []
    for path in PAGES:
        for name in re.findall(r"\brights? `(\w+)`|`(\w+)` right", path.read_text("utf-8")):
            assert (name[0] or name[1]) in RIGHTS, f"{path.name}: there is no right {name}"


def test_every_connection_type_that_a_page_names_is_registered():
    from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime

    ours = {entry["connection-type"] for entry in get_provider_info()["connection-types"]}
    known = ours | set(ProvidersManagerTaskRuntime().hooks)
    for path in PAGES:
        text = path.read_text("utf-8")
        for name in re.findall(r"--conn-type ([\w-]+)|\"conn_type\": \"([\w-]+)\"|conn_type: ([\w-]+)", text):
            [wanted] = filter(None, name)
            assert wanted in known, f"{path.name}: no connection type {wanted}"


def test_every_setting_that_a_page_names_exists():
    options = set(get_provider_info()["config"]["interlock"]["options"])
    for path in PAGES:
        for name in re.findall(r"\[interlock\] (\w+)|AIRFLOW__INTERLOCK__(\w+)", path.read_text("utf-8")):
            assert (name[0] or name[1].lower()) in options, f"{path.name}: no setting {name}"


def test_every_environment_that_a_page_names_is_one():
    known = set(get_args(Environment))
    for path in PAGES:
        for name in re.findall(r"\[interlock\] environment\s*=\s*(\w+)|--environment (\w+)", path.read_text("utf-8")):
            assert (name[0] or name[1]) in known, f"{path.name}: no environment {name}"


# --- the example in README ---


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The files that README prints, as a project, importable as ``include.invoices``."""
    file = re.compile(r"^`((?:include/invoices|dags)/[\w.]+)`\n\n```\w+\n(.*?)```$", re.DOTALL | re.MULTILINE)
    printed = file.findall(README.read_text("utf-8"))
    assert len(printed) == 5
    for name, text in printed:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "include" / "company").mkdir()
    for path in (ROOT / "include" / "company").glob("*.yaml"):
        (tmp_path / "include" / "company" / path.name).write_bytes(path.read_bytes())
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("include.invoices")]:
        del sys.modules[name]


def dag_of(project: Path) -> Any:
    """Return the Dag of the file that README prints; the file itself drops what its function returns."""
    spec = importlib.util.spec_from_file_location("readme_dag", project / "dags" / "invoices.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.invoices()


def test_the_example_of_readme_stays_within_some_sixty_lines(example: Path):
    files = [*example.glob("include/invoices/*.*"), *example.glob("dags/*.py")]
    lines = [line for path in files for line in path.read_text("utf-8").splitlines()]
    assert 40 < len(lines) <= 65


def test_the_example_of_readme_runs_as_readme_says(example: Path, open_ledger: Callable[[str], Any]):
    """An invoice up to 500 with an order is paid; all others wait for people; a wrong row is quarantined."""
    from interlock.agents.load import load_agent
    from interlock.connectors.outbox import Outbox
    from interlock.domain.data.source import SourceRow
    from interlock.engine.agents.role import run_role
    from interlock.engine.agents.work_item import Role
    from interlock.engine.approvals.gate import open_gate
    from interlock.engine.cases.intake import take_in_rows
    from interlock.engine.effects.execution import execute_cases
    from interlock.engine.policy.bundle import load_contracts, read_bundle
    from interlock.engine.policy.publication import problems_of
    from interlock.engine.routing.branch import route_cases
    from interlock.engine.routing.validation import validate_cases
    from interlock.engine.runs.session import Session, open_session
    from interlock.ledger.cases.case import list_cases
    from interlock.operators.runtime import wiring_of, workflow_of

    dag = dag_of(example)
    include = example / "include"
    wiring = wiring_of(dag)
    bundle = read_bundle(include, workflow_of(dag))
    company = Company(read_bundle(include, COMPANY))
    assert company.problems() == []
    assert problems_of(bundle, company, environment="test", wiring=wiring) == []

    ledger = open_ledger("sqlite")
    put_in_force(ledger, include, "invoices")

    def session(task: str) -> Session:
        return open_session(
            ledger, workflow="invoices", dag_id="invoices", run_id="r1", task_id=task, wiring=wiring, include=include
        )

    [printed] = re.findall(r"```csv\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    invoices = csv.DictReader(printed.splitlines())
    rows = [
        SourceRow(number=line, values={k: v or None for k, v in row.items()}) for line, row in enumerate(invoices, 2)
    ]
    contracts = load_contracts(include, "invoices", ["Invoice", "Payment"])
    take_in_rows(session("intake"), rows, contract=contracts["Invoice"], source="invoices.csv")
    route_cases(session("route"))
    at_draft = session("draft")
    writer = load_agent("payment_writer", bundle.agents["payment_writer"], at_draft.files, cache=example)
    run_role(at_draft, writer, Role("drafting", contracts["Payment"], ()))
    validate_cases(session("check"))
    declared = connector.OutboxConnector(kind="outbox", conn_id="interlock_outbox")
    execute_cases(session("pay"), Outbox("outbox", declared, example / "outbox"))
    turn = open_gate(session("sign_off"))

    found = {row.business_key: row.state for row in list_cases(ledger, workflow="invoices")}
    assert found == {"I-1": "executed", "I-2": "waiting", "I-3": "waiting", "I-4": "quarantined"}
    assert turn.undecided == 2
    [sent] = (example / "outbox").glob("*.json")
    assert '"reference":"Invoice I-1"' in sent.read_text("utf-8")


def add_below_its_keys(file: Path, printed: str) -> None:
    """Add each entry that a page prints for a YAML file below the key that is there, as its reader is told to."""
    before = file.read_text("utf-8")
    for key, entries in re.findall(r"^(\w+):\n((?:  .*\n)+)", printed, re.MULTILINE):
        assert f"\n{key}:\n" in before, f"{file.name} has no key {key}"
        before = before.replace(f"\n{key}:\n", f"\n{key}:\n{entries}", 1)
    file.write_text(before, encoding="utf-8")


def test_a_model_instead_of_the_template_works_as_readme_says(
    example: Path, open_ledger: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
):
    """Every block of the section, in its order: two files, the entries of access.yaml, the connection, the row."""
    from interlock.agents.load import load_agent
    from interlock.domain.data.source import SourceRow
    from interlock.engine.agents.role import run_role
    from interlock.engine.agents.work_item import Role
    from interlock.engine.cases.intake import take_in_rows
    from interlock.engine.policy.bundle import load_contracts, read_bundle
    from interlock.engine.policy.publication import problems_of
    from interlock.engine.routing.branch import route_cases
    from interlock.engine.routing.validation import validate_cases
    from interlock.engine.runs.session import Session, open_session
    from interlock.hooks.model import resolve_model
    from interlock.ledger.cases.case import list_cases
    from interlock.operators.runtime import wiring_of
    from servers.openai_like import OpenAILike

    text = README.read_text("utf-8")
    part = text[text.index("### A model instead of the template") :]
    part = part[: part.index("\n## ")]
    blocks = re.findall(r"^`(include/[\w./]+)`[^\n]*\n\n```\w+\n(.*?)^```$", part, re.DOTALL | re.MULTILINE)
    assert [name.rpartition("/")[2] for name, _ in blocks] == ["agents.yaml", "payment.md.j2", "access.yaml"]
    for name, printed in blocks:
        file = example / name
        file.parent.mkdir(exist_ok=True)
        if name.endswith("access.yaml"):
            add_below_its_keys(file, printed)
        else:
            file.write_text(printed, encoding="utf-8")
    [shell] = re.findall(r"```bash\n(.*?)```", part, re.DOTALL)
    [(variable, connection)] = re.findall(r"export (\w+)='(.*?)'", shell, re.DOTALL)
    [lines] = re.findall(r"printf '(.*?)' > (?:\w+)\.csv", shell)
    (row,) = csv.DictReader(lines.replace("\\n", "\n").splitlines())

    include, wiring, ledger = example / "include", wiring_of(dag_of(example)), open_ledger("sqlite")
    bundle, company = read_bundle(include, "invoices"), Company(read_bundle(include, COMPANY))
    assert [*company.problems(), *problems_of(bundle, company, environment="test", wiring=wiring)] == []
    put_in_force(ledger, include, "invoices")

    def session(task: str) -> Session:
        return open_session(
            ledger, workflow="invoices", dag_id="invoices", run_id="r2", task_id=task, wiring=wiring, include=include
        )

    contracts = load_contracts(include, "invoices", ["Invoice", "Payment"])
    take_in_rows(
        session("intake"), [SourceRow(number=2, values=dict(row))], contract=contracts["Invoice"], source="more.csv"
    )
    route_cases(session("route"))
    with OpenAILike({"to": row["supplier"], "amount": 80, "reference": f"Invoice {row['number']}"}) as server:
        asked = re.sub(r"http://127\.0\.0\.1:\d+/v1", server.base_url, connection)
        assert asked != connection
        monkeypatch.setenv(variable, asked)
        at_draft = session("draft")
        writer = load_agent(
            "payment_writer",
            bundle.agents["payment_writer"],
            at_draft.files,
            cache=example,
            resolve_model=resolve_model,
            prices=at_draft.company.prices,
        )
        run_role(at_draft, writer, Role("drafting", contracts["Payment"], ()))
        assert server.total == 1
    validate_cases(session("check"))

    [found] = list_cases(ledger, workflow="invoices")
    assert (found.business_key, found.state) == (row["number"], "authorised")


def test_a_budget_that_is_set_as_the_guide_says_holds(example: Path, open_ledger: Callable[[str], Any]):
    """The files of README's example with those of the page on budgets over them, against a server on loopback."""
    from decimal import Decimal

    from interlock.agents.load import load_agent
    from interlock.domain.data.source import SourceRow
    from interlock.engine.agents.role import run_role
    from interlock.engine.agents.work_item import Role
    from interlock.engine.cases.intake import take_in_rows
    from interlock.engine.policy.bundle import load_contracts, read_bundle
    from interlock.engine.policy.publication import problems_of
    from interlock.engine.routing.branch import route_cases
    from interlock.engine.runs.session import Session, open_session
    from interlock.ledger.cases.case import list_cases
    from interlock.ledger.store.schema import usage
    from interlock.operators.runtime import wiring_of
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider
    from servers.openai_like import OpenAILike
    from sqlalchemy import select

    text = page("budgets")
    files = dict(re.findall(r"^`(include/[\w./]+)`[^\n]*\n\n```\w+\n(.*?)^```$", text, re.DOTALL | re.MULTILINE))
    assert len(files) == 5
    for name, said in files.items():
        file = example / name
        file.parent.mkdir(exist_ok=True)
        before = file.read_text("utf-8") if file.exists() and not name.endswith("agents.yaml") else ""
        if name.endswith("access.yaml"):
            add_below_its_keys(file, said)
        else:
            file.write_text(said if name.endswith("prices.yaml") else before + said, encoding="utf-8")
    include, wiring, ledger = example / "include", wiring_of(dag_of(example)), open_ledger("sqlite")
    bundle, company = read_bundle(include, "invoices"), Company(read_bundle(include, COMPANY))
    assert [*company.problems(), *problems_of(bundle, company, environment="test", wiring=wiring)] == []
    put_in_force(ledger, include, "invoices")

    def session(task: str) -> Session:
        return open_session(
            ledger, workflow="invoices", dag_id="invoices", run_id="r1", task_id=task, wiring=wiring, include=include
        )

    rows = [
        SourceRow(number=n, values={"number": f"I-{n}", "supplier": "Acme", "amount": 20, "order": "P"})
        for n in range(12)
    ]
    contracts = load_contracts(include, "invoices", ["Invoice", "Payment"])
    take_in_rows(session("intake"), rows, contract=contracts["Invoice"], source="invoices.csv")
    route_cases(session("route"))
    at_draft = session("draft")
    with OpenAILike({"to": "Acme", "amount": 20, "reference": "Invoice"}) as server:
        provider = OpenAIProvider(base_url=server.base_url, api_key="any")
        writer = load_agent(
            "payment_writer",
            bundle.agents["payment_writer"],
            at_draft.files,
            cache=example,
            resolve_model=lambda conn_id, model: OpenAIChatModel("llama3.2", provider=provider),
            prices=at_draft.company.prices,
        )
        counts = run_role(at_draft, writer, Role("drafting", contracts["Payment"], ()))
        asked = server.total

    assert counts["done"] == asked > 0
    assert counts["waiting"] == 12 - asked > 0
    with ledger.read() as connection:
        costs = connection.execute(select(usage.c.cost).where(usage.c.connection == "payment_model")).scalars().all()
    assert 0 < sum(costs) <= Decimal("0.005")
    reason = next(row.reason for row in list_cases(ledger, workflow="invoices") if row.state == "waiting")
    [told] = re.findall(r"^BudgetExhausted .*$", text, re.MULTILINE)
    number = r"cost [\d.]+"
    assert re.sub(number, "", reason) == re.sub(number, "", told)
