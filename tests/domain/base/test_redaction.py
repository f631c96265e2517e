"""Masking by form, measured on synthetic sentences whose personal data is known."""

from __future__ import annotations

import itertools
import json
import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from interlock.domain.base.redaction import Masker, find, mask, passes_luhn

SENTENCES = Path(__file__).parent / "data" / "presidio_pii" / "sentences.jsonl"
OF_A_FORM = {"EMAIL_ADDRESS", "CREDIT_CARD", "IBAN_CODE", "PHONE_NUMBER", "US_SSN", "IP_ADDRESS", "DOMAIN_NAME"}


@pytest.fixture(scope="module")
def sentences():
    return [json.loads(line) for line in SENTENCES.read_text(encoding="utf-8").splitlines()]


def test_every_character_of_what_has_a_form_is_found(sentences):
    missed = []
    for sentence in sentences:
        covered = {i for start, end, _ in find(sentence["text"]) for i in range(start, end)}
        for start, end, kind in sentence["spans"]:
            if kind in OF_A_FORM and not covered >= set(range(start, end)):
                missed.append((kind, sentence["text"][start:end]))
    assert missed == []


def test_nothing_is_found_where_there_is_no_personal_data(sentences):
    found, wrong, elsewhere = 0, [], 0
    for sentence in sentences:
        for start, end, _ in find(sentence["text"]):
            touched = {kind for a, b, kind in sentence["spans"] if a < end and b > start}
            found += 1
            if not touched:
                wrong.append(sentence["text"][start:end])
            elsewhere += bool(touched) and not touched & OF_A_FORM
    assert wrong == []
    assert elsewhere / found < 0.2  # numbers within street addresses, taken for telephone numbers


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("write to ann.o'neil+x@mail.example.co.uk.", "write to [EMAIL]."),
        ("my card 4111 1111 1111 1111 was declined", "my card [CARD] was declined"),
        ("GB29 NWBK 6016 1331 9268 19 please", "[IBAN] please"),
        ("call +44 (0)20 7946 0958 or 020-7946-0958", "call [PHONE] or [PHONE]"),
        ("call 0151 2026-03 or +49 2026-03 12 14", "call [PHONE] or [PHONE]"),
        ("SSN 078-05-1120", "SSN [ID]"),
        ("NI number AB123456C", "NI number [ID]"),
        ("from 192.168.10.4 and fe80::1ff:fe23:4567:890a", "from [IP] and [IP]"),
        ("see https://bank.example/reset?t=abc.", "see [URL]."),
        ("Authorization: Bearer abcdefghijklmnop1234", "Authorization: [SECRET]"),
        ("password: hunter2!x", "[SECRET]"),
        ("my password is hunter2!x ok", "my [SECRET] ok"),
        ("the pin is 4921", "the [SECRET]"),
        ("key sk-proj-abcdefghijklmnopqrstu", "key [SECRET]"),
        ("postgresql://app:s3cr3t@db/x", "postgresql://[SECRET]@db/x"),
        ("-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----", "[SECRET]"),
    ],
)
def test_each_kind_is_masked(text, masked):
    assert mask(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "on 2026-11-24 at 10:30 we paid 1.234.567 and 12,50",
        "24.11.2026 or 11/24/2026",
        "I forgot my password yesterday and the token expired",
        "rule 'private banking has a person' could not be evaluated",
        "ISO 27001 and RFC 9110, page 404 of 1024",
        "2019-2026",
        "2 in 2026-03, 14 cases",
        "12 2026-03 and 2026-03 (5)",
        "12 2026-03-04 10:30 and 1. 2026-03-04",
        "2026-03-04/2026-03-11",
        "the week 2026-W10",
    ],
)
def test_days_amounts_and_plain_words_stay(text):
    assert mask(text) == text


def test_the_same_value_has_the_same_mask_and_comes_back():
    masker = Masker()
    sent = masker.mask("ann@example.com asks; answer ann@example.com, not bob@example.com")

    assert sent == "[EMAIL_1] asks; answer [EMAIL_1], not [EMAIL_2]"
    assert masker.restore({"to": ["[EMAIL_1]"], "text": "cc [EMAIL_2], [EMAIL_3]"}) == {
        "to": ["ann@example.com"],
        "text": "cc bob@example.com, [EMAIL_3]",
    }


def test_a_secret_does_not_come_back():
    masker = Masker()
    sent = masker.mask("my password is hunter2!x")

    assert masker.restore(sent) == sent == "my [SECRET_1]"


def test_a_kind_that_the_policy_keeps_leaves_as_it_is():
    assert Masker(keeps=("EMAIL",)).mask("ann@example.com, +44 20 7946 0958") == "ann@example.com, [PHONE_1]"


def test_names_are_masked_by_whoever_finds_them():
    masker = Masker(names=lambda text: [(0, 3, "PERSON")] if text.startswith("Ann") else [])

    assert masker.mask("Ann wrote to ann@example.com") == "[PERSON_1] wrote to [EMAIL_1]"


@given(st.text(max_size=200))
def test_spans_stand_in_order_within_the_text_and_masking_twice_changes_nothing_more(text):
    spans = find(text)

    assert all(0 <= start < end <= len(text) for start, end, _ in spans)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))
    assert mask(mask(text)) == mask(text)


@given(st.text(alphabet="ab0123456789 -+@.:/[]", max_size=120))
def test_what_was_masked_comes_back_to_the_letter(text):
    masker = Masker()

    assert masker.restore(masker.mask(text)) == text or "[" in text


def test_the_check_digit_of_a_card_is_known():
    assert passes_luhn("4111111111111111")
    assert not passes_luhn("4111111111111112")


WRITTEN = Path(__file__).parent / "data" / "written"


def written(name: str) -> list[tuple[str, list[tuple[int, int]]]]:
    """Return the sentences of a file, each with what must be masked: it stands between « and »."""
    found = []
    for line in (WRITTEN / f"{name}.txt").read_text(encoding="utf-8").splitlines():
        text, spans, start = "", [], 0
        for piece in re.split("([«»])", line.replace("\\n", "\n")):
            if piece == "«":
                start = len(text)
            elif piece == "»":
                spans.append((start, len(text)))
            else:
                text += piece
        found.append((text, spans))
    return found


@pytest.mark.parametrize(("name", "of", "clean", "without"), [("tuned", 51, 44, 45), ("unseen", 50, 44, 46)])
def test_secrets_codes_and_addresses_are_found_and_numbers_of_things_stay(name, of, clean, without):
    sentences = written(name)
    missed, touched = [], []
    for text, spans in sentences:
        covered = {i for start, end, _ in find(text) for i in range(start, end)}
        missed += [text for start, end in spans if not covered >= set(range(start, end))]
        touched += [text] if covered and not spans else []

    assert sum(len(spans) for _, spans in sentences) == of
    assert missed == []
    assert sum(not spans for _, spans in sentences) == without
    assert len(touched) <= without - clean, touched


@pytest.mark.parametrize(
    "part",
    ["at dot ", "://a:", "token=", "a_", "x@ ", "1 ", "code i ", "otp is ", "a.b at ", "-----BEGIN PRIVATE KEY-----"],
)
def test_no_text_takes_long(part):
    """A text that is made to be slow would stop a task: the time grows with its length, and no faster."""
    begun = time.process_time()
    mask(part * (20_000 // len(part)))
    assert time.process_time() - begun < 2
