"""DATA-PII: planted numbers and addresses are found to the character, what stands for nobody is not."""

import random
import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from row_families import found_rows, make_task, row, run_family

from nlp_skills.data.checks.mojibake import Mojibake
from nlp_skills.data.checks.near import NearRows
from nlp_skills.data.checks.sensitive import Personal
from nlp_skills.data.example import Example, Message, Meta
from nlp_skills.data.excerpt import ending, excerpt
from nlp_skills.data.fixes.rows import mask_personal
from nlp_skills.data.personal import find_personal
from nlp_skills.data.sensitive import mask
from nlp_skills.errors import MissingExtra
from nlp_skills.task.task import TaskType

PLANTED = {
    "email address": ["mei.lin@gmail.com", "neil+news@mail.bbc.co.uk", "tanaka_88@docomo.ne.jp"],
    "phone number": [
        "+886 912 555 321",
        "+1 (212) 736-5000",
        "+358 9 591 8342",
        "0912-735-281",
        "0912735281",
        "(02) 2733-8891",
        "03-3581-4321",
        "080-2291-7734",
        "415-867-5309",
        "(415) 867-5309",
        "13241080757",
        "1-415-867-5309",
        "(415) 555-2671",
        "+49 (0)69 380 795 200",
        "09050090044",
        "07734396839",
        "020 7946 0958",
        "0207 946 0958",
        "(01223) 585236",
        "01223 585 236",
        "0871-872-9755",
        "0844 861 85 85",
        "09048291735",
    ],
    "card number": ["4539 1488 0343 6467", "5425233430109903", "374245455400126"],
    "IBAN": ["NL39RABO0300065264", "GB94BARC10201530093459", "DE75 5121 0800 1245 1261 99"],
    "national id": ["F131104093", "360426199101010071", "536-90-4399"],
    "IP address": ["52.143.97.211", "2a00:1450:4001:81b::200e"],
}
NOBODY = (
    "jane@example.com",
    "john.doe@gmail.com",
    "you@yourcompany.com",
    "git@github.com",
    "no-reply@shop.de",
    "logo@2x.png",
    "555-123-4567",
    "212-555-0143",
    "+1-555-867-5309",
    "800-867-5309",
    "+1234567890",
    "0912-345-678",
    "4111 1111 1111 1111",
    "4539 1488 0343 6468",
    "DE89370400440532013000",
    "NL39RABO0300065265",
    "A123456789",
    "F131104094",
    "123-45-6789",
    "078-05-1120",
    "000-12-3456",
    "11010519491231002X",
    "192.168.10.120",
    "127.0.0.1",
    "203.0.113.120",
    "2001:db8::8a2e:370:7334",
    "8.8.8.8",
    "3.11.4.2",
    "12:34:56:78:9a:bc",
    "2021-01-05 12:30:45",
    "978-3-16-148410-0",
    "1.234.567,89",
    "6214 9832 0257",
    "order 09050090044",
    "Invoice no. 07734396839",
    "tracking number: 0912735281",
    "account 13241080757",
    "ref 415-867-5309",
    "訂單編號：0912735281",
    "注文番号は08022917734",
    "$ 415 867 5309",
    "07734396839 EUR",
    "01-02-2021 1030",
    "2021-01-05/09050090044",
    "0800 169 6031",
    "415-555-1212",
    "f(x)+1518500249",
    "4158675309",
    "06734396839",
    "0.07734396839",
)
SURROUNDINGS = ("{}", "please note {} and reply.", "請記下{}謝謝", "連絡先は「{}」です。", "({})")


@pytest.mark.parametrize(("kind", "value"), [(kind, v) for kind, values in PLANTED.items() for v in values])
@pytest.mark.parametrize("surroundings", SURROUNDINGS)
def test_each_kind_is_found_to_the_character(kind: str, value: str, surroundings: str):
    text = surroundings.format(value)
    assert [(span.kind, text[span.start : span.end]) for span in find_personal(text)] == [(kind, value)]
    assert mask(text, find_personal(text)) == surroundings.format(f"[{kind}]")


@given(
    st.lists(st.sampled_from(PLANTED["phone number"]), min_size=2, max_size=4),
    st.sampled_from([" ", ", ", "/", " / ", "; ", " or ", "\n", "、", "，或"]),
)
def test_of_several_numbers_in_a_row_each_is_found(numbers: list[str], between: str):
    text = f"call {between.join(numbers)} please"
    assert mask(text, find_personal(text)) == f"call {between.join(['[phone number]'] * len(numbers))} please"


def test_the_fix_masks_each_of_several_numbers():
    asked = row("call 09050090044/07734396839 or +44 20 7946 0958 020 7946 0018", "0912-735-281 0933-112-446")
    fixed = mask_personal(make_task())(asked)
    assert fixed is not None and [turn.content for turn in (fixed.messages or [])[1:]] == [
        "call <phone number>/<phone number> or <phone number> <phone number>",
        "<phone number> <phone number>",
    ]


@pytest.mark.parametrize("value", NOBODY)
@pytest.mark.parametrize("surroundings", SURROUNDINGS)
def test_what_stands_for_nobody_is_not_counted(value: str, surroundings: str):
    assert find_personal(surroundings.format(value)) == []


@pytest.mark.parametrize(
    "text", ["account，電話{}", "to order call {}.", "order +1 (212) 736-5000, phone {}", "T&C: {} 150p/day"]
)
def test_a_number_after_another_word_than_what_it_is_called_is_counted(text: str):
    found = find_personal(text.format("0912735281"))
    assert (found[-1].kind, found[-1].start) == ("phone number", text.index("{}"))


def test_a_japanese_individual_number_needs_its_name():
    text = "マイナンバーは6214 9832 0257です"
    assert [(span.kind, text[span.start : span.end]) for span in find_personal(text)] == [
        ("national id", "6214 9832 0257")
    ]


CLEAN = (
    "My card was declined twice this morning, what now?",
    "On 3 May 2021 at 10:45 the index rose 2.35 % to 14,237.88 points.",
    "我昨天訂的牛肉麵等了45分鐘才送到，真的很失望。",
    "注文番号 A-2231 の状況を教えてください。",
    "pi is about 3.14159265, e about 2.71828",
)
plants = st.dictionaries(
    st.integers(0, 19), st.sampled_from([(k, v) for k, values in PLANTED.items() for v in values]), max_size=5
)


@given(plants, st.integers(1, 3), st.integers(0, 2**32))
def test_exactly_the_planted_rows_are_found(planted: dict[int, tuple[str, str]], parts: int, seed: int):
    texts = random.Random(seed).choices(CLEAN, k=20)
    rows = [row(f"{text} {planted[n][1]} ok" if n in planted else text) for n, text in enumerate(texts)]
    with TemporaryDirectory() as folder:
        findings = run_family(Personal, make_task(), Path(folder), rows, parts=parts).findings()
    told = sorted(place for finding in findings for place in found_rows([finding])["DATA-PII"])
    assert told == sorted(f"train:{n + 1}" for n in planted)
    assert {finding.level for finding in findings} <= {"warning"}
    shown = "".join(reference.text for finding in findings for reference in finding.rows)
    assert not any(value in shown for _, value in planted.values())


def test_the_report_shows_the_place_masked(tmp_path: Path):
    rows = [row("call 0912-735-281 or write to mei.lin@gmail.com, token = 9fQ2xL7bT0vZ4kW8")]
    findings = run_family(Personal, make_task(), tmp_path, rows).findings()
    assert [(finding.message, finding.rows[0].text) for finding in findings] == [
        (
            "Email address: 1 row.",
            "mei… in: call [phone number] or write to [email address], token = [password or key]",
        ),
        (
            "Phone number: 1 row.",
            "09… in: call [phone number] or write to [email address], token = [password or key]",
        ),
    ]


NUMBERS = ("09050090044", "+44 20 7946 0958", "4539 1488 0343 6467", "mei.lin@gmail.com")


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("stdnum", [True, False])
def test_what_other_checks_show_of_a_row_is_masked_too(
    number: str, stdnum: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    if not stdnum:
        monkeypatch.setitem(sys.modules, "stdnum", None)
        for name in [name for name in sys.modules if name.startswith("stdnum.")]:
            monkeypatch.delitem(sys.modules, name)
    words = "the table by the window was cold and the soup came late so that we left"
    rows = [
        row(f"cafÃ© {number} {words}"),
        row(f"cafÃ© {number} {words} early"),
        row("x" * 150 + f" {number}"),
    ]
    findings = [
        *run_family(Mojibake, make_task(), tmp_path, rows).findings(),
        *run_family(NearRows, make_task(TaskType.QA), tmp_path, rows).findings(),
    ]
    shown = [reference.text for finding in findings for reference in finding.rows]
    assert {finding.check for finding in findings} == {"DATA-MOJIBAKE", "DATA-NEARDUP"}
    assert len(shown) == 3
    assert all("caf" in text and number[:5] not in text for text in shown)
    assert {number[:5] in excerpt(f"{'x' * start} {number} or {number}") for start in range(340)} == {False}
    assert number[-5:] not in ending(f"call {number}", 8)


def test_every_turn_and_the_arguments_of_calls_are_looked_at(tmp_path: Path):
    call = {
        "id": "1",
        "type": "function",
        "function": {"name": "f", "arguments": '{"to":"mei.lin@gmail.com"}'},
    }
    turns = [
        Message("user", "send it"),
        Message("assistant", tool_calls=[call]),
        Message("tool", "ok"),
        Message("assistant", "done"),
    ]
    ask = [Message("user", "who is it?")]
    rows = [
        Example(meta=Meta("a", "s"), messages=turns),
        Example(
            meta=Meta("b", "s"),
            prompt=ask,
            chosen=[Message("assistant", "no idea")],
            rejected=[Message("assistant", "mei.lin@gmail.com")],
        ),
    ]
    assert found_rows(run_family(Personal, make_task(), tmp_path, rows).findings()) == {
        "DATA-PII": ["train:1", "train:2"]
    }


def test_without_the_check_digits_nothing_is_claimed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "stdnum"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "stdnum", None)
    with pytest.raises(MissingExtra):
        find_personal("it is 4539 1488 0343 6467")
    family = run_family(Personal, make_task(), tmp_path, [row("it is 4539 1488 0343 6467")])
    assert family.findings() == []
    assert "--extra data" in family.not_run()["DATA-PII"]


REAL = (
    ("classification/banking77_train.csv", "utf-8", {}),
    ("classification/sms_spam_latin1.csv", "cp1252", {"email address": 6, "phone number": 342}),
    ("classification/waimai_10k_zh_hans.csv", "utf-8", {"phone number": 3}),
    ("finance_sentiment/financial_phrasebank.csv", "utf-8", {"phone number": 15}),
    ("finance_sentiment/finfe_zh_hans.jsonl", "utf-8", {}),
    ("finance_sentiment/finfe_zh_hant_converted.jsonl", "utf-8", {}),
    ("instruction_chat/alpaca_zh_demo.json", "utf-8", {}),
    ("classification/trec_train_5500.label", "latin-1", {}),
    ("instruction_chat/gsm8k_test.jsonl", "utf-8", {}),
    ("instruction_chat/drcd_dev_subset_zh_hant.json", "utf-8", {}),
    ("tool_use/glaive_toolcall_en_demo.json", "utf-8", {}),
    ("awkward/big_list_of_naughty_strings.json", "utf-8", {}),
)


@pytest.mark.parametrize(("name", "encoding", "expected"), REAL)
def test_real_sets_hold_what_they_are_known_to_hold(
    name: str, encoding: str, expected: dict[str, int], shared_data: Path
):
    lines = (shared_data / name).read_text(encoding=encoding).splitlines()
    assert Counter(span.kind for line in lines for span in find_personal(line)) == expected
