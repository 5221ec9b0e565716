"""DATA-MOJIBAKE: text that went through a wrong encoding is found and, where nothing was lost, repaired."""

import random
import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from row_families import found_rows, make_task, row, run_family

from nlp_skills.data.checks.mojibake import Mojibake
from nlp_skills.data.mojibake import is_garbled, repair

CLEAN = (
    "The café in Zürich charges 5 € – “too much”, he said…",
    "¿Dónde está la niña? L’été où j’étais là‑bas.",
    "Łódź, Škoda, Dvořák, Ångström, œuvre, 東京タワー",
    "這家餐廳的牛肉麵非常好吃，服務也很親切。",
    "这家餐厅的外卖太慢了，等了一个小时！联通",
    "ありがとうございます。とても美味しいラーメンでした。",
    "안녕하세요, 반갑습니다. Привет, как дела?",
    "नमस्ते दुनिया, मैं ठीक हूँ 😀👍🏽",
    "plain ASCII, nothing else",
)


def garble(text: str, encoding: str) -> str:
    return text.encode("utf-8").decode(encoding)


REPAIRABLE = (
    (garble("the café was nice", "cp1252"), "the café was nice"),
    (garble("“so”, she said", "latin-1"), "“so”, she said"),
    ("she said \x93so\x94", "she said “so”"),
    (garble("你好", "gbk"), "你好"),
    (garble("我要退錢", "latin-1"), "我要退錢"),
    (f"title: {garble('服務很好', 'gbk')}, text", "title: 服務很好, text"),
    (garble("あい", "cp932"), "あい"),
)
LOST = ("caf\ufffd was nice", "锟斤拷锟斤拷", garble("\ufffd", "cp1252") + " then")


@pytest.mark.parametrize("text", CLEAN)
def test_text_of_any_language_is_left_alone(text: str):
    assert not is_garbled(text)
    assert repair(text) == text


@pytest.mark.parametrize(("text", "right"), REPAIRABLE)
def test_what_can_be_repaired_is_repaired(text: str, right: str):
    assert is_garbled(text)
    assert repair(text) == right
    assert not is_garbled(right)


@pytest.mark.parametrize("text", LOST)
def test_lost_characters_are_found(text: str):
    assert is_garbled(text)
    assert is_garbled(repair(text))


plants = st.dictionaries(
    st.integers(0, 19), st.sampled_from([t for t, _ in REPAIRABLE] + list(LOST)), max_size=5
)


@given(plants, st.integers(1, 3), st.integers(0, 2**32))
def test_exactly_the_planted_rows_are_found(planted: dict[int, str], parts: int, seed: int):
    texts = random.Random(seed).choices(CLEAN, k=20)
    rows = [row(planted.get(n, text)) for n, text in enumerate(texts)]
    with TemporaryDirectory() as folder:
        findings = run_family(Mojibake, make_task(), Path(folder), rows, parts=parts).findings()
    told = {"repaired" in finding.message: found_rows([finding])["DATA-MOJIBAKE"] for finding in findings}
    assert told.get(True, []) == [f"train:{n + 1}" for n in sorted(planted) if planted[n] not in LOST]
    assert told.get(False, []) == [f"train:{n + 1}" for n in sorted(planted) if planted[n] in LOST]


def test_the_report_shows_what_it_should_read(tmp_path: Path):
    rows = [row("ok", garble("I like the café", "cp1252"))]
    [finding] = run_family(Mojibake, make_task(), tmp_path, rows).findings()
    assert finding.rows[0].text == "I like the cafÃ© → I like the café"


SETS = (
    "finance_sentiment/finfe_zh_hans.jsonl",
    "finance_sentiment/finfe_zh_hant_converted.jsonl",
    "classification/waimai_10k_zh_hans.csv",
    "classification/banking77_train.csv",
    "drift/state_of_the_union_paragraphs.jsonl",
    "instruction_chat/alpaca_zh_demo.json",
    "instruction_chat/gsm8k_test.jsonl",
)


@pytest.mark.parametrize("name", SETS)
def test_real_texts_are_clean(name: str, shared_data: Path):
    lines = (shared_data / name).read_text(encoding="utf-8").splitlines()
    found = [line for line in lines if is_garbled(line)]
    # Thirty paragraphs of the speeches were published with "¡¦" and "¡¨" (quotes of Big5 read as Latin-1).
    garbled = (
        [line for line in lines if re.search("¡[¦¨§]", line)] if name.startswith("drift/state_of") else []
    )
    assert found == garbled


def test_pounds_that_went_through_two_readings_are_found_though_nothing_repairs_them(
    shared_data: Path, tmp_path: Path
):
    text = (shared_data / "classification" / "sms_spam_latin1.csv").read_text(encoding="latin-1")
    lines = [line for line in text.splitlines() if re.search(r"(?<!\w)å£\d", line)]
    assert len(lines) > 200
    assert sum(map(is_garbled, lines)) > 0.95 * len(lines)
    rows = [row("win a å£900 prize"), row("win a £900 prize, café")]
    (finding,) = run_family(Mojibake, make_task(), tmp_path, rows).findings()
    assert finding.message.endswith("at least 1 row.")
    assert finding.rows[0].text == "win a å£900 prize"


def test_a_known_defect_of_a_real_set_is_found(shared_data: Path):
    text = (shared_data / "preference/dpo_en_demo.json").read_text(encoding="utf-8")
    [sentence] = [part for part in text.split(".") if "Cal Hockley, and her" in part]
    assert "her fianc\xc3\xa9 Cal Hockley" in sentence
    assert "her fiancé Cal Hockley" in repair(sentence)


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "gbk", "cp932", "cp950"])
def test_real_texts_in_a_wrong_encoding_are_found(encoding: str, shared_data: Path):
    lines = (
        (shared_data / "finance_sentiment/finfe_zh_hans.jsonl").read_text(encoding="utf-8").splitlines()[:300]
    )
    found = [line for line in lines if is_garbled(line.encode().decode(encoding, errors="replace"))]
    assert len(found) >= 0.98 * len(lines)


def test_without_ftfy_nothing_is_claimed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ftfy", None)
    family = run_family(Mojibake, make_task(), tmp_path, [row("a café here")])
    assert family.findings() == []
    assert "--extra data" in family.not_run()["DATA-MOJIBAKE"]


@pytest.mark.parametrize("text", ["Reply CLAIM 4txt/Ì¼1.20 each", "5wkg days.Ì¬n"])
def test_a_repair_that_would_leave_an_accent_without_its_letter_is_no_repair(text: str) -> None:
    assert repair(text) == text
    assert is_garbled(text)
