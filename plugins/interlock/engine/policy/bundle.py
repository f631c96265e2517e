"""
From the files of ``include/<workflow>/`` to a bundle that can be published, and from a pinned bundle back to files.

A pinned version's texts come from the ledger. Its data files stay in the include folder, and are used only while their
digest is the published one: whoever changes the examples publishes a new version.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from interlock.domain.base.contract import Contract, contract_digest
from interlock.domain.policy.company import COMPANY
from interlock.domain.policy.version import Bundle
from interlock.errors import ConfigurationError, ContractChanged, UnknownName

TEXTS = (".yaml", ".yml", ".md", ".j2", ".txt", ".py", ".json")
DATA_FOLDER = "data"


def read_bundle(include: Path, workflow: str) -> Bundle:
    """
    Return what would be published of *workflow*: the texts, the digests of the data files, the contracts' schemas.

    :raises UnknownName: there is no such folder.
    :raises ConfigurationError: a file cannot be used; the message has the place.
    """
    if workflow == COMPANY:
        return read_company(include)
    folder = include / workflow
    if not (folder / "workflow.yaml").is_file():
        known = [path.parent.name for path in include.glob("*/workflow.yaml")]
        raise UnknownName("workflow", workflow, known, where=f"the include folder {str(include)!r}")
    files = {str(path.relative_to(folder)): _read(path) for path in _texts(folder)}
    data = {
        str(path.relative_to(folder)): file_digest(path)
        for path in sorted((folder / DATA_FOLDER).rglob("*"))
        if path.is_file() and path.suffix not in (".py", ".md", ".pyc") and path.name != "LICENSE"
    }
    contracts = load_contracts(include, workflow, Bundle(workflow, files).settings.contracts)
    return Bundle(
        workflow,
        files,
        data,
        {
            name: {
                "ref": contract.contract_ref(),
                "digest": contract_digest(contract),
                "schema": contract.model_json_schema(),
            }
            for name, contract in contracts.items()
        },
    )


def read_company(include: Path) -> Bundle:
    """
    Return what would be published of the company's own files.

    :raises ConfigurationError: there is no such folder, or a file is not UTF-8.
    """
    folder = include / COMPANY
    if not folder.is_dir():
        raise ConfigurationError(f"the include folder {str(include)!r} has no folder {COMPANY!r}")
    return Bundle(COMPANY, {path.name: _read(path) for path in sorted(folder.glob("*.yaml"))})


def load_contracts(include: Path, workflow: str, names: Iterable[str]) -> dict[str, type[Contract]]:
    """
    Return the contracts *names* of *workflow*'s ``contracts.py``.

    :raises ConfigurationError: there is no such file, or it cannot be imported.
    :raises UnknownName: it holds no such contract.
    """
    module = _contracts_module(include, workflow)
    declared = {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, Contract) and value is not Contract
    }
    for name in names:
        if name not in declared:
            raise UnknownName("contract", name, declared, where=f"{workflow}/contracts.py")
    return {name: declared[name] for name in names}


def _contracts_module(include: Path, workflow: str) -> ModuleType:
    path = include / workflow / "contracts.py"
    dotted = f"{include.name}.{workflow}.contracts"
    if dotted in sys.modules:
        return sys.modules[dotted]
    if not path.is_file():
        raise ConfigurationError(f"workflow {workflow!r} has no contracts.py in {str(path.parent)!r}")
    spec = importlib.util.spec_from_file_location(dotted, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[dotted] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[dotted]
        raise ConfigurationError(f"{workflow}/contracts.py cannot be imported: {error}") from error
    return module


def _texts(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and path.suffix in TEXTS and path.relative_to(folder).parts[0] != DATA_FOLDER
    )


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not UTF-8 (byte {error.start}). Save it as UTF-8") from None


def file_digest(path: Path) -> str:
    """Return the SHA-256 of the file *path*."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def check_contract(bundle: Bundle, contract: type[Contract]) -> None:
    """
    Let code use *contract* under the pinned *bundle*.

    :raises ContractChanged: it is not the one that was published.
    """
    name = contract.__name__
    if name not in bundle.contracts:
        raise ContractChanged(
            f"contract {name!r} is not part of the published version of {bundle.workflow!r} (it has: "
            f"{', '.join(sorted(bundle.contracts))}). Name it in workflow.yaml and publish a new version"
        )
    if bundle.contracts[name]["digest"] != contract_digest(contract):
        raise ContractChanged(
            f"contract {contract.contract_ref()} is not the one that was published "
            f"({bundle.contracts[name]['ref']} of {bundle.workflow!r}): its fields changed. Raise its contract_version "
            f"and publish: airflow interlock policy publish {bundle.workflow}"
        )


class PinnedFiles:
    """A pinned version's files, as agents see them (:class:`interlock.domain.agents.agent_protocol.Files`)."""

    def __init__(self, bundle: Bundle, include: Path) -> None:
        self._bundle = bundle
        self._folder = include / bundle.workflow
        self._checked: set[str] = set()

    def text(self, path: str) -> str:
        """Return the published text of *path*."""
        return self._bundle.text(path)

    def data_digest(self, path: str) -> str:
        """Return the published SHA-256 of the data file *path*."""
        if path not in self._bundle.data:
            raise UnknownName("data file", path, self._bundle.data, where=f"the version of {self._bundle.workflow!r}")
        return self._bundle.data[path]

    def data(self, path: str) -> Path:
        """Return where the data file *path* is, after checking that it is the published one."""
        expected = self.data_digest(path)
        found = self._folder / path
        if not found.is_file():
            raise ConfigurationError(f"data file {path!r} of workflow {self._bundle.workflow!r} is missing: {found}")
        if path not in self._checked:
            if file_digest(found) != expected:
                raise ConfigurationError(
                    f"data file {path!r} changed since the version of {self._bundle.workflow!r} was published. "
                    f"Publish it: airflow interlock policy publish {self._bundle.workflow}"
                )
            self._checked.add(path)
        return found
