"""``airflow interlock data …`` as it is typed: what it says, the same in JSON, and what a beginner gets wrong."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from interlock.domain.data.dataset import parse_datasets
from interlock.domain.data.quality import parse_suite
from interlock.errors import Stopped

BAD = "id,day,vendor,amount,currency\n1,2014-01-08,Ada,x,USD\n2,2014-01-09,Ada,5,USD\n3,2014-02-31,Bo,5,USD\n"


def test_a_proposal_is_written_once_and_holds_for_its_file(terminal, shop, tmp_path: Path):
    out = tmp_path / "new"

    printed = terminal(f"data profile {shop.root / 'sales.csv'} --out {out}")

    assert (printed.code, printed.out.count("wrote")) == (0, 2)
    assert parse_datasets(yaml.safe_load((out / "datasets.yaml").read_text("utf-8")))["sales"].time == "day"
    assert parse_suite(yaml.safe_load((out / "expectations/sales.yaml").read_text("utf-8"))).expectations
    before = {file: file.read_bytes() for file in out.rglob("*.yaml")}
    again = terminal(f"data profile {shop.root / 'sales.csv'} --out {out}")
    assert "datasets.yaml and expectations/sales.yaml" in again.error
    assert "would be overwritten" in again.error
    assert {file: file.read_bytes() for file in out.rglob("*.yaml")} == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty: not even a header"),
        ("id,day\n", "there is no row that can be read"),
        ("id,day\n1,2026-01-01\n2", "ends in the middle of line 3: 1 of 2 fields"),
        ("id,vendor\n1,Ada\n", "no column holds a date or a time"),
    ],
)
def test_a_file_that_nothing_can_be_proposed_for_ends_in_one_line(terminal, shop, tmp_path: Path, content, message):
    (tmp_path / "given.csv").write_text(content, encoding="utf-8")

    printed = terminal(f"data profile {tmp_path / 'given.csv'}")

    assert (printed.code, printed.out) == (1, "")
    assert message in printed.error


def test_a_folder_that_is_a_file_and_a_name_that_is_none_end_in_one_line(terminal, shop):
    file = shop.root / "sales.csv"

    assert "FileExistsError" in terminal(f"data profile {file} --out {file}").error
    assert "cannot name a dataset" in terminal(f"data profile {file} --dataset ../sales").error
    assert "In " in terminal(f"data profile {shop.root / 'sale.csv'}").error


def test_readiness_says_in_json_what_it_says_in_words(terminal, shop):
    words, document = terminal("data readiness shop"), terminal("data readiness shop --json").json

    [sales] = document["datasets"]
    assert (document["ready"], sales["state"], sales["as_of"]) == (True, "fit", "2014-02-27T00:00:00+00:00")
    assert words.out.splitlines() == [
        f"sales: fit, {sales['rows']} rows as of 2014-02-27 00:00 UTC, {sales['put_aside']} quarantined",
        f"  {sales['periods']['count']} full weeks, week of 2014-01-06 to week of 2014-02-17, none empty",
        "shop is ready",
    ]


def test_readiness_of_what_is_not_fit_says_why_and_ends_with_1(terminal, shop):
    (shop.root / "sales.csv").write_text(BAD, encoding="utf-8")
    words, document = terminal("data readiness shop"), terminal("data readiness shop --json")

    assert (words.code, document.code) == (1, 1)
    [sales] = document.json["datasets"]
    assert (sales["rows"], sales["put_aside"]) == (1, 2)
    assert "sales: withheld, 1 row as of 2014-01-10 00:00 UTC, 2 quarantined" in words.out
    assert f"  critical: {sales['reasons']['critical'][0]}" in words.out.splitlines()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("sho", "Did you mean 'shop'?"),
        ("company", "'company' is not a workflow"),
        ("shop --as-of yesterday", "--as-of: 'yesterday' is no date; write 2026-11-24"),
        ("shop --include /nowhere", "there is no workflow 'shop' in the include folder '/nowhere'"),
    ],
)
def test_readiness_of_what_is_misspelt_ends_in_one_line(terminal, shop, line, message):
    printed = terminal(f"data readiness {line}")

    assert (printed.code, printed.out) == (1, "")
    assert message in printed.error


def test_rows_that_were_put_aside_are_listed_with_their_reasons(terminal, shop):
    assert terminal("data quarantine shop").out == "No dataset of shop was read yet\n"
    (shop.root / "sales.csv").write_text(BAD, encoding="utf-8")
    with pytest.raises(Stopped):
        shop.read()

    words, document = terminal("data quarantine shop").out.splitlines(), terminal("data quarantine shop --json").json

    assert [(row["row"], row["reasons"]) for row in document] == [
        (2, ["amount: is no decimal"]),
        (4, ["day: is no date"]),
    ]
    assert document[0]["values"]["amount"] == "x"
    assert [line.split()[:3] for line in words[2:]] == [["r1", "sales", "2"], ["r1", "sales", "4"]]
    assert [row["row"] for row in terminal("data quarantine shop --limit 1 --json").json] == [2]
    assert len(terminal("data quarantine shop --run r1 --dataset sales --json").json) == 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("sho", "there is no workflow 'sho' in the ledger of 'test'. Did you mean 'shop'?"),
        ("shop --dataset sale", "there is no dataset 'sale' in the readings of 'shop'. Did you mean 'sales'?"),
        ("shop --run r2", "there is no run 'r2'"),
        ("shop --limit 0", "invalid positive int value: '0'"),
    ],
)
def test_nothing_is_not_said_of_what_is_misspelt(terminal, shop, line, message):
    """``No row was quarantined`` for a name that does not exist would be read as good news."""
    shop.read()
    assert terminal("data quarantine shop").out == "No row was quarantined\n"

    printed = terminal(f"data quarantine {line}")

    assert printed.code > 0
    assert printed.out == ""
    assert message in printed.error


def test_rows_whose_snapshot_is_gone_are_not_told_as_none(terminal, shop, tmp_path: Path):
    (shop.root / "sales.csv").write_text(BAD, encoding="utf-8")
    with pytest.raises(Stopped):
        shop.read()
    shutil.rmtree(tmp_path / "snapshots")

    words, document = terminal("data quarantine shop"), terminal("data quarantine shop --json")

    assert words.out == ""
    assert "r1, sales: 2 quarantined rows cannot be shown: snapshot" in words.error
    assert document.json == []
