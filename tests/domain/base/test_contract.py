from __future__ import annotations

import pytest
from interlock.domain.base.contract import Contract, check_payload, contract_digest, variable_prefix
from interlock.errors import ContractViolation
from pydantic import Field


class Ticket(Contract):
    key: str = Field(min_length=1)
    amount: float = 0.0


def test_a_good_payload_becomes_the_contract():
    assert check_payload(Ticket, {"key": "a"}) == Ticket(key="a")
    assert Ticket.contract_ref() == "Ticket@1"


def test_a_violation_names_every_field_and_none_of_the_values():
    with pytest.raises(ContractViolation, match="does not satisfy contract Ticket@1") as caught:
        check_payload(Ticket, {"key": "", "amount": "secret-value", "colour": "hidden"})

    told = str(caught.value)
    assert [line.split(":")[0] for line in caught.value.problems] == ["key", "amount", "colour"]
    assert "secret-value" not in told
    assert "hidden" not in told


def test_a_contract_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        Ticket(key="a").key = "b"


def test_the_digest_changes_with_fields_bounds_version_and_name():
    def variant(name: str, version: str = "1", bound: int = 1, kind: type = float) -> str:
        return contract_digest(
            type(
                name,
                (Contract,),
                {
                    "__annotations__": {"key": str, "amount": kind},
                    "key": Field(min_length=bound),
                    "amount": kind(0),
                    "contract_version": version,
                    "__module__": __name__,
                },
            )
        )

    same = variant("Ticket")
    assert variant("Ticket") == same
    assert (
        len({same, variant("Order"), variant("Ticket", "2"), variant("Ticket", bound=2), variant("Ticket", kind=int)})
        == 5
    )


@pytest.mark.parametrize(
    ("name", "prefix"),
    [("Triage", "triage"), ("SupportReply", "support_reply"), ("A1B", "a1_b"), ("HTTPCall", "httpcall"), ("x", "x")],
)
def test_a_contract_is_named_in_snake_case_in_rules(name: str, prefix: str):
    assert variable_prefix(name) == prefix
