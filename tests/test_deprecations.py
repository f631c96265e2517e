"""What our own code uses and will go is an error, and no filter hides it."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = [path for folder in ("plugins", "dags", "include", "tests") for path in (ROOT / folder).rglob("*.py")]


def names_of(path: Path) -> set[str]:
    """Return the names under which the module in *path* may be imported here."""
    folder, *parts = path.relative_to(ROOT).with_suffix("").parts
    inside, whole = ".".join(parts), ".".join([folder, *parts])
    return {"plugins": {inside}, "tests": {inside, whole}}.get(folder, {whole})


def test_a_deprecation_that_a_module_of_ours_gives_rise_to_is_an_error():
    names = set().union(*map(names_of, FILES)) | {
        "unusual_prefix_0123_support_triage",
        "include_0123.refunds.contracts",
    }

    assert {"interlock.plugin", "dags.support_triage", "workflows", "faults.bench", "tests.test_docs"} <= names
    for name in sorted(names):
        for category in (DeprecationWarning, PendingDeprecationWarning, FutureWarning):
            with pytest.raises(category):
                warnings.warn_explicit("it will go", category, "a.py", 1, module=name)


def test_airflows_own_classes_are_among_them():
    from airflow.exceptions import AirflowProviderDeprecationWarning, RemovedInAirflow4Warning
    from airflow.sdk.exceptions import RemovedInAirflow4Warning as OfTheSdk
    from airflow.utils.deprecation_tools import DeprecatedImportWarning

    for category in (AirflowProviderDeprecationWarning, RemovedInAirflow4Warning, OfTheSdk, DeprecatedImportWarning):
        with pytest.raises(category):
            warnings.warn_explicit("it will go", category, "a.py", 1, module="interlock.operators.intake")


def test_one_of_another_package_is_shown():
    with pytest.warns(DeprecationWarning, match="it will go"):
        warnings.warn_explicit("it will go", DeprecationWarning, "a.py", 1, module="some.package")
