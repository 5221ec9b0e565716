"""DATA-SECRET: keys of every provider are found to the character, examples and references are not.

The keys are put together here, so that no scanner takes this file for a leak.
"""

import base64
import json
import random
import string
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError
from row_families import found_rows, make_task, row, run_family

from nlp_skills.data.checks.sensitive import Secrets
from nlp_skills.data.credentials import find_secrets
from nlp_skills.data.secret import require_reference
from nlp_skills.data.sensitive import mask

ALPHANUMERIC = string.ascii_letters + string.digits


def some(count: int, alphabet: str = ALPHANUMERIC, seed: int = 7) -> str:
    return "".join(random.Random(seed).choices(alphabet, k=count))


def encoded(value: dict[str, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


PEM = "-----{} RSA PRIVATE " + "KEY-----"
KEYS = {
    "private key": f"{PEM.format('BEGIN')}\n{some(64)}\n{some(64)}\n{PEM.format('END')}",
    "AWS access key": "AKIA" + some(16, string.ascii_uppercase + "234567"),
    "Google API key": "AIza" + some(35),
    "Google client secret": "GOCSPX-" + some(28),
    "Google access token": "ya29." + some(60),
    "Azure client secret": some(3) + "8Q~" + some(33),
    "GitHub token": "ghp_" + some(36),
    "GitLab token": "glpat-" + some(20),
    "Slack token": "xoxb-" + some(12, string.digits) + "-" + some(24),
    "Slack webhook": f"https://hooks.slack.com/services/T{some(8)}/B{some(8)}/{some(24)}",
    "Stripe key": "sk_live_" + some(24),
    "Stripe webhook secret": "whsec_" + some(32),
    "Anthropic key": "sk-ant-api03-" + some(90),
    "OpenAI key": "sk-proj-" + some(60),
    "Hugging Face token": "hf_" + some(34),
    "npm token": "npm_" + some(36),
    "PyPI token": "pypi-AgEIcHlwaS5vcmc" + some(80),
    "SendGrid key": f"SG.{some(22)}.{some(43)}",
    "Telegram token": some(9, "3456789") + ":AA" + some(33),
    "JSON web token": f"{encoded({'alg': 'RS256'})}.{encoded({'sub': 'mei.lin', 'aud': 'shop'})}.{some(43)}",
}
CONTEXTS = ("{}", "my key is {} please fix it", "金鑰是 {} 請保密", "export TOKEN={}", '{{"key": "{}"}}')

ASSIGNED = (
    ("password=", "gT7#kQ2!vZ9p"),
    ("DB_PASSWORD: ", "x9Lq2#Vt8mRw"),
    ('"api_key": "', "9fQ2xL7bT0vZ4kW8mN3c"),
    ("secret_access_key = ", some(40)),
    ("AccountKey=", some(86) + "=="),
    ("password: ", "Zx9$kqPw81mvLs"),
    ("password=", "aG7*tR2(kLp9Qw"),
    ("password = ", "Zx9[kqPw81mvLs"),
    ("token=", "rT8{$jLpZ}4]x"),
)
URLS = (
    "postgresql://app:{}@db.internal:5432/shop",
    "mongodb+srv://app:{}@cluster0.ab1cd.mongodb.net",
    "https://ci:{}@git.company.io/x.git",
)
NO_SECRETS = (
    "AKIAIOSFODNN7EXAMPLE",
    "password=${DB_PASSWORD}",
    "password = os.environ['DB_PASSWORD']",
    "api_key=your-api-key-goes-here-123",
    "api_key: <YOUR_API_KEY_1234>",
    "token: xxxxxxxxxxxxxxxxxxxx",
    "password: aB3#fG7!kL9@",
    "postgresql://user:password@localhost/db",
    "postgresql://app:${PGPASSWORD}@db/shop",
    "postgresql://app:{password}@db/shop",
    "https://example.org:8080/a@b",
    "the token is 1234567890123",
    "Key: Responsibilities, including 24/7",
    "password must have 8 characters, digits and symbols",
    "tokenizer = AutoTokenizer.from_pretrained(base_model_2)",
    "postgresql://app:$PGPASSWORD@db/shop",
    "postgresql://app:%(pw)s@db/shop",
    "postgresql://app:<password>@db/shop",
    "redis://:***@cache/0",
    "password=${DB_USER_1}-${DB_PASS_2}",
    "password: {{ vault.db_pw1.value }}",
    "password=%DB_PW_2026%",
    "password=[REDACTED-12aB]",
    "password=**********",
    "password=$DB_PW_2026",
    "password = sha256(User1.Name)",
    "api_key=args.api_keys9[0].Value",
    "secret=internationalization",
    "keyword: Transformer-XL-2019",
    "sk-learn and sk-image are packages",
    "-----BEGIN RSA PRIVATE " + "KEY-----\n...\n-----END RSA PRIVATE " + "KEY-----",
    "sk_live_" + "x" * 24,
    "ghp_" + "a" * 36,
    encoded({"alg": "HS256"}) + ".eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIn0." + some(43),
)


@pytest.mark.parametrize(("kind", "value"), KEYS.items())
@pytest.mark.parametrize("context", CONTEXTS)
def test_each_key_is_found_to_the_character(kind: str, value: str, context: str):
    text = context.format(value)
    assert [(span.kind, text[span.start : span.end]) for span in find_secrets(text)] == [(kind, value)]
    assert mask(text, find_secrets(text)) == context.format(f"[{kind}]")


@pytest.mark.parametrize(("name", "value"), ASSIGNED)
def test_a_random_value_under_a_telling_name_is_found(name: str, value: str):
    text = f"here: {name}{value}"
    [span] = find_secrets(text)
    assert text[span.start : span.end] == value


@pytest.mark.parametrize("url", URLS)
def test_a_password_in_a_url_is_found(url: str):
    text = f"connect with {url.format('gT7kQ2vZ9p')} now"
    assert mask(text, find_secrets(text)) == f"connect with {url.format('[password in a URL]')} now"


@pytest.mark.parametrize("password", ["p$w9Zx!q", "a(9*T[q", "x{7}Qm$2"])
def test_signs_inside_a_password_make_it_no_reference(password: str):
    text = f"postgres://u:{password}@db.internal/shop"
    assert [text[span.start : span.end] for span in find_secrets(text)] == [password]


@pytest.mark.parametrize("text", NO_SECRETS)
def test_examples_references_and_words_are_no_secrets(text: str):
    assert find_secrets(f"so {text} it is") == []


CLEAN = (
    "How do I reset my password?",
    "密碼要有八個字元。",
    "The key point is in section 4.2.",
    "api docs: see README",
)
plants = st.dictionaries(st.integers(0, 19), st.sampled_from(sorted(KEYS)), max_size=5)


@given(plants, st.integers(1, 3), st.integers(0, 2**32))
def test_exactly_the_planted_rows_are_found(planted: dict[int, str], parts: int, seed: int):
    texts = random.Random(seed).choices(CLEAN, k=20)
    rows = [row(f"{text} {KEYS[planted[n]]} ok" if n in planted else text) for n, text in enumerate(texts)]
    with TemporaryDirectory() as folder:
        findings = run_family(Secrets, make_task(), Path(folder), rows, parts=parts).findings()
    told = sorted(place for finding in findings for place in found_rows([finding])["DATA-SECRET"])
    assert told == sorted(f"train:{n + 1}" for n in planted)
    assert {finding.level for finding in findings} <= {"error"}
    shown = "".join(reference.text for finding in findings for reference in finding.rows)
    assert not any(KEYS[kind][:12] in shown for kind in planted.values())


def test_a_known_key_is_refused_in_yaml_whatever_its_name():
    require_reference("x-header", "Bearer ${API_KEY}")
    with pytest.raises(PydanticCustomError, match="x-header holds a literal secret") as refused:
        require_reference("x-header", KEYS["Anthropic key"])
    assert KEYS["Anthropic key"] not in str(refused.value)


@pytest.mark.parametrize(
    "name",
    [
        "classification/banking77_train.csv",
        "instruction_chat/alpaca_en_demo.json",
        "instruction_chat/alpaca_zh_demo.json",
        "instruction_chat/c4_demo.jsonl",
        "instruction_chat/identity.json",
        "tool_use/glaive_toolcall_en_demo.json",
        "tool_use/bfcl_v4/live_simple.jsonl",
        "preference/dpo_en_demo.json",
        "awkward/big_list_of_naughty_strings.json",
    ],
)
def test_real_sets_hold_no_secret(name: str, shared_data: Path):
    lines = (shared_data / name).read_text(encoding="utf-8").splitlines()
    assert [line[span.start : span.end] for line in lines for span in find_secrets(line)] == []
