from __future__ import annotations

from interlock.domain.policy.version import Bundle
from interlock.domain.policy.version_diff import difference

NAMES = ("version 1", "include")


def bundle(text: str = "a\nb\n", *, data: str = "0" * 64, **contracts: str) -> Bundle:
    return Bundle(
        "refunds",
        {"policy.yaml": text},
        {"data/a.csv": data},
        {name: {"ref": f"{name}@1", "digest": digest, "schema": {}} for name, digest in contracts.items()},
    )


def test_what_says_the_same_has_no_difference():
    assert difference(bundle(Refund="a" * 64), bundle(Refund="a" * 64), names=NAMES) == ""


def test_a_changed_text_is_shown_line_by_line_under_the_names_of_the_two():
    said = difference(bundle(), bundle("a\nc\n"), names=NAMES).splitlines()

    assert said == ["--- version 1: policy.yaml", "+++ include: policy.yaml", "@@ -1,2 +1,2 @@", " a", "-b", "+c"]


def test_a_file_that_only_one_has_is_shown_as_a_whole():
    more = Bundle("refunds", {"policy.yaml": "a\nb\n", "prompts/x.md": "hello\n"}, bundle().data)

    assert difference(bundle(), more, names=NAMES).splitlines() == [
        "--- version 1: (no such file)",
        "+++ include: prompts/x.md",
        "@@ -0,0 +1 @@",
        "+hello",
    ]
    assert "+++ include: (no such file)" in difference(more, bundle(), names=("version 1", "include"))


def test_text_that_differs_in_its_line_ends_alone_is_not_the_same():
    assert difference(bundle("a\nb"), bundle("a\r\nb\n"), names=NAMES) == (
        "policy.yaml: line ends or the last line's end differ"
    )


def test_data_and_contracts_are_named_by_their_digests():
    said = difference(bundle(Refund="a" * 64), bundle(data="f" * 64, Refund="b" * 64, Letter="c" * 64), names=NAMES)

    assert said.splitlines() == [
        "data data/a.csv",
        "- version 1: sha256 0000000000000000",
        "+ include: sha256 ffffffffffffffff",
        "contract Letter",
        "- version 1: is not there",
        "+ include: cccccccccccccccc (Letter@1)",
        "contract Refund",
        "- version 1: aaaaaaaaaaaaaaaa (Refund@1)",
        "+ include: bbbbbbbbbbbbbbbb (Refund@1)",
    ]
