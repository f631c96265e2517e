from __future__ import annotations

import re

import pytest
from interlock.domain.policy.company import Company
from interlock.domain.policy.version import Bundle
from interlock.errors import ConfigurationError
from workflows import ACCESS, ECOSYSTEM


def company(**files: str) -> Company:
    return Company(Bundle("company", {f"{name}.yaml": text for name, text in files.items()}))


def test_a_company_reads_its_own_files():
    whole = company(access=ACCESS, ecosystem=ECOSYSTEM)

    assert whole.access.groups["leads"] == ("lea", "leo")
    assert set(whole.connectors) == {"payout"}
    assert whole.problems() == []


def test_a_company_without_files_allows_nothing():
    nothing = company()

    assert nothing.access.groups == {}
    assert nothing.access.rights == {}
    assert nothing.connectors == {}
    assert nothing.approvals.cases == ()
    assert nothing.problems() == []


@pytest.mark.parametrize("text", ["", "groups:\n", "groups: {}\n"])
def test_a_company_without_groups_has_none(text: str):
    assert not company(access=text).access.groups


def test_a_group_that_is_no_list_is_refused_and_not_read_letter_by_letter():
    with pytest.raises(ConfigurationError, match=r"company/access.yaml cannot be used: groups.leads"):
        _ = company(access="groups: {leads: lea}").access


def test_an_empty_group_has_nobody():
    assert company(access="groups: {leads: , others: []}").access.groups == {"leads": (), "others": ()}


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"acess": ""}, "'acess.yaml' is no file of the company that Interlock knows .known: access.yaml"),
        ({"access": "rights: {deploy: [makers]}"}, "rights.deploy: 'makers' is no group .known: none"),
        ({"access": "groups: {makers: []}\nrights: {deploy: [makers]}"}, "group 'makers' has nobody in it"),
        (
            {"access": "groups: {a: [x]}\nworkflows: {refunds: {switch: [b]}}"},
            "workflows.refunds.switch: 'b' is no group",
        ),
        (
            {
                "approvals": "cases: [{name: n, when: amont > 1.0, stages: [{groups: [a]}]}]",
                "access": "groups: {a: [x]}",
            },
            "approvals.yaml, cases, 'n': .*Did you mean 'amount'?",
        ),
        (
            {"approvals": "versions: [{name: n, stages: [{groups: [a], votes: 2}]}]", "access": "groups: {a: [x]}"},
            "asks for 2 votes, and there are 1 people who could give them",
        ),
        ({"approvals": "versions: [{name: n, stages: [{votes: 1}]}]"}, "names neither groups nor people"),
    ],
)
def test_what_cannot_work_is_told_with_its_place(files: dict[str, str], told: str):
    problems = company(**files).problems()

    assert len(problems) == 1
    assert re.search(told, problems[0])
