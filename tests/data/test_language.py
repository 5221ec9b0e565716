"""DATA-LANG: rows that are certainly in another language, and none that may be in the task's."""

import csv
import json
import random
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from row_families import found_rows, make_task, row, run_family

from nlp_skills.data.checks.language import UNTOLD, Language
from nlp_skills.data.language import contradicts, detect_language, split_tag, variant

TEXTS = {
    "en": (
        "My card was declined twice this morning and nobody could tell me why.",
        "The company expects its net sales to grow in the second half of the year.",
        "Could you please explain how I can change the address of my delivery?",
    ),
    "de": (
        "Die Lieferung kam viel zu spät und die Verpackung war beschädigt.",
        "Können Sie mir bitte erklären, wie ich meine Adresse ändern kann?",
    ),
    "es": ("El pedido llegó tarde y nadie me supo explicar la razón del retraso.",),
    "ru": ("Заказ пришёл слишком поздно, и никто не смог объяснить мне причину.",),
    "zh-Hant": ("這家餐廳的牛肉麵非常好吃，服務也很親切。", "請問我要怎麼更改訂單的收件地址？"),
    "zh-Hans": ("这家餐厅的外卖太慢了，等了一个小时才送到。", "请问我要怎么更改订单的收件地址？"),
    "ja": ("配送がとても遅くて、連絡もありませんでした。", "住所の変更方法を教えてください。"),
    "ko": ("배송이 너무 늦어서 정말 실망했습니다.",),
}
UNTELLABLE = (
    "iPhone 15 Pro Max 256GB",
    "李小龍",
    "3.14159 + 2.71828 = ?",
    "😀👍🏽🎉",
    "ok thx",
    "https://example.com/a/very/long/path?with=parameters&and=more",
    "我用 PyTorch 訓練 transformer model 的時候 GPU out of memory 怎麼辦",
    "pip install torch transformers accelerate datasets --upgrade",
    "```python\nfor item in items:\n    print(item)\n```",
    "for (let i = 0; i < items.length; i++) { total += items[i].price * items[i].count; }",
    "SELECT name, price FROM products WHERE price > 100 AND (category = 'a' OR category = 'b');",
    "Acme Corp, Globex, Initech",
    "",
    "   ",
    "{{name}} {{author}}",
)


@pytest.mark.parametrize(
    ("language", "text"), [(tag, text) for tag, texts in TEXTS.items() for text in texts]
)
def test_a_plain_sentence_is_told(language: str, text: str):
    assert detect_language(text) == language
    assert not contradicts(language, text, language)


@pytest.mark.parametrize("text", UNTELLABLE)
@pytest.mark.parametrize("expected", ["en", "zh-Hant", "zh-Hans", "zh", "ja", "de"])
def test_what_cannot_be_told_is_never_called_wrong(text: str, expected: str):
    assert not contradicts(expected, text, detect_language(text))


def test_chinese_is_told_by_characters_that_one_variant_alone_has():
    assert variant("這個") == "Hant"
    assert variant("这个") == "Hans"
    assert variant("台北的天气很好") is None  # one character only: 气
    assert variant("里面有人") is None
    assert detect_language("里面有人在吃牛肉") == "zh"
    assert not contradicts("zh-Hant", "里面有人在吃牛肉", "zh")


def test_regions_say_which_chinese_they_write():
    tags = ("zh-TW", "zh-HK", "zh-CN", "zh-Hant-TW", "zh", "cmn-Hans", "yue-HK", "en-US", "sr-Latn")
    assert [split_tag(tag) for tag in tags] == [
        ("zh", "Hant"),
        ("zh", "Hant"),
        ("zh", "Hans"),
        ("zh", "Hant"),
        ("zh", None),
        ("zh", "Hans"),
        ("zh", "Hant"),
        ("en", None),
        ("sr", "Latn"),
    ]


def test_japanese_without_kana_is_not_called_chinese_unless_it_is_long():
    assert not contradicts("ja", "東京都知事選挙結果", detect_language("東京都知事選挙結果"))
    long = TEXTS["zh-Hans"][0]
    assert contradicts("ja", long, detect_language(long))


def test_languages_that_are_hard_to_tell_apart_are_not_wrong():
    assert not contradicts("nb", "x", "da")
    assert not contradicts("id", "x", "ms")
    assert contradicts("es", "x", "pt")


LANGUAGES = sorted(TEXTS)


@given(st.sampled_from(LANGUAGES), st.data(), st.integers(1, 3), st.integers(0, 2**32))
def test_exactly_the_planted_rows_are_found(expected: str, data: st.DataObject, parts: int, seed: int):
    others = st.sampled_from([text for tag in LANGUAGES if tag != expected for text in TEXTS[tag]])
    planted = data.draw(st.dictionaries(st.integers(0, 19), others, max_size=5))
    texts = random.Random(seed).choices((*TEXTS[expected], "ok", "12:30"), k=20)
    rows = [row(planted.get(n, text)) for n, text in enumerate(texts)]
    with TemporaryDirectory() as folder:
        findings = run_family(
            Language, make_task(language=expected), Path(folder), rows, parts=parts
        ).findings()
    told = [f"train:{n + 1}" for n in sorted(planted)]
    assert found_rows(findings) == ({"DATA-LANG": told} if planted else {})


def family(folder: Path, language: str | None, *texts: str, parts: int = 1) -> Language:
    made = run_family(Language, make_task(language=language), folder, [row(t) for t in texts], parts=parts)
    assert isinstance(made, Language)
    return made


def test_the_report_names_the_languages(tmp_path: Path):
    texts = (TEXTS["zh-Hant"][0], TEXTS["zh-Hans"][0], TEXTS["zh-Hans"][1], TEXTS["en"][0], "ok")
    made = family(tmp_path, "zh-TW", *texts, parts=2)
    [finding] = made.findings()
    assert finding.message == "In another language than the task's, zh-TW: 3 rows (zh-Hans 2, en 1)."
    assert finding.rows[0].text == f"zh-Hans: {texts[1]}"
    assert made.distributions() == {
        "languages train": {"zh-Hans": 2, UNTOLD: 1, "en": 1, "zh-Hant": 1},
    }


def test_without_a_language_the_distribution_is_still_told(tmp_path: Path):
    made = family(tmp_path, None, *TEXTS["ja"])
    assert made.findings() == []
    assert made.not_run() == {"DATA-LANG": "task.yaml names no language (language: en, zh-Hant, ja …)"}
    assert made.distributions() == {"languages train": {"ja": 2}}


def test_a_language_that_nobody_knows_is_not_judged(tmp_path: Path):
    made = family(tmp_path, "tlh", *TEXTS["en"])
    assert made.findings() == []
    assert made.not_run() == {"DATA-LANG": "texts in 'tlh' cannot be told from others"}


def test_without_py3langid_nothing_is_claimed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from nlp_skills.data import language

    language._identifier.cache_clear()
    monkeypatch.setitem(sys.modules, "py3langid.langid", None)
    made = family(tmp_path, "zh-Hant", TEXTS["zh-Hans"][0])
    assert made.findings() == []
    assert "--extra data" in made.not_run()["DATA-LANG"]


def read(path: Path, column: str, encoding: str = "utf-8") -> list[str]:
    if path.suffix == ".jsonl":
        return [json.loads(line)[column] for line in path.read_text(encoding=encoding).splitlines()]
    with path.open(encoding=encoding, newline="") as stream:
        return [line[column] for line in csv.DictReader(stream)]


REAL = (
    ("classification/banking77_test.csv", "text", "utf-8", "en"),
    ("classification/sms_spam_latin1.csv", "v2", "cp1252", "en"),
    ("finance_sentiment/finfe_zh_hans.jsonl", "text", "utf-8", "zh-Hans"),
    ("finance_sentiment/finfe_zh_hant_converted.jsonl", "text", "utf-8", "zh-Hant"),
)


@pytest.mark.parametrize(("name", "column", "encoding", "language"), REAL)
def test_no_row_of_a_real_set_is_called_wrong(
    name: str, column: str, encoding: str, language: str, shared_data: Path
):
    texts = read(shared_data / name, column, encoding)
    assert [text for text in texts if contradicts(language, text, detect_language(text))] == []


def test_the_traditional_rows_of_a_simplified_set_are_found(shared_data: Path):
    texts = read(shared_data / "classification/waimai_10k_zh_hans.csv", "review")
    found = [text for text in texts if contradicts("zh-Hans", text, detect_language(text))]
    assert len(found) == 26
    assert "送餐很快，大熱天，辛苦配送師傅了" in found


@pytest.mark.parametrize(
    ("name", "other"), [("finfe_zh_hans", "zh-Hant"), ("finfe_zh_hant_converted", "zh-Hans")]
)
def test_the_other_variant_of_chinese_is_found_in_most_rows(name: str, other: str, shared_data: Path):
    texts = read(shared_data / f"finance_sentiment/{name}.jsonl", "text")
    found = [text for text in texts if contradicts(other, text, detect_language(text))]
    assert len(found) > 0.8 * len(texts)
