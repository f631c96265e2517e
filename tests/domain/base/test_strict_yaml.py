from __future__ import annotations

from interlock.domain.base.strict_yaml import load_yaml


def test_what_one_reader_does_to_a_document_no_other_sees():
    text = "rules: [{name: far too much, when: 'case.amount > 10.0'}]"
    first = load_yaml(text, where="policy.yaml")

    first["rules"][0]["name"] = "another"
    first["rules"].append("more")

    assert load_yaml(text, where="policy.yaml") == {"rules": [{"name": "far too much", "when": "case.amount > 10.0"}]}
