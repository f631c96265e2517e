from __future__ import annotations

import pytest
from interlock.domain.base.plural import counted


@pytest.mark.parametrize(
    ("number", "words", "said"),
    [
        (0, ("case",), "0 cases"),
        (1, ("case",), "1 case"),
        (2, ("batch",), "2 batches"),
        (1, ("case", "are"), "1 case is"),
        (1, ("case", "wait"), "1 case waits"),
        (3, ("case", "wait"), "3 cases wait"),
    ],
)
def test_a_count_goes_with_its_noun_and_its_verb(number, words, said):
    assert counted(number, *words) == said
