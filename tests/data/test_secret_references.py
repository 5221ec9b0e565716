"""Literal secrets in data_source.yaml are refused, and neither errors nor notes show what was given."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlp_skills.data.secret import hide, show_connection
from nlp_skills.data.secret_names import is_secret_name
from nlp_skills.data.sources.source import DataSources
from nlp_skills.data.sources.web.shown import show_url
from nlp_skills.errors import NotValid

DATABASE = {"type": "database", "name": "orders", "query": "SELECT 1"}
API = {"type": "api", "name": "shop", "endpoint": "https://shop.example/orders"}
TOKEN = "ghp_" + "Zx9kqPw81mvLs2Tb7RfY4dHc6NgJ3aQeUi5o"


def error_of(source: dict[str, object]) -> str:
    with pytest.raises(NotValid) as refused:
        DataSources.parse({"sources": [source]}, "data_source.yaml")
    return str(refused.value)


@pytest.mark.parametrize(
    "connection",
    [
        "postgresql://u:pa/ss@h/db",
        "postgresql://u:pa ss@h/db",
        "postgresql://u:pa?ss@h/db",
        "postgresql://u:pa#ss@h/db",
        "postgresql://u:pa@ss@h/db",
        "postgresql://u:12/34@h/db",
        "postgresql://u:p${PGPASSWORD}@h/db",
        " postgresql+psycopg://${PGUSER}:pass@h/db",
        "redis://:pass@cache/0",
        "postgresql://h/db?password=hush",
        "postgresql://h/db?user=u&sslpassword=hush",
        "mssql+pyodbc:///?odbc_connect=DRIVER%3D%7BODBC%7D%3BUID%3Du%3BPWD%3Dhush",
        "mssql+pyodbc:///?odbc_connect=DRIVER={ODBC};Password = hush",
        "mssql+pyodbc:///?odbc_connect=PWD%253Dhush",
        "host=h user=u password=hush",
        f"postgresql://{TOKEN}@h/db",
    ],
)
def test_a_connection_with_a_literal_password_is_refused_and_not_shown(connection: str):
    said = error_of({**DATABASE, "connection": connection})
    assert "put it into an environment variable and write ${NAME} in its place" in said
    assert not re.search(r"pa.?ss@|hush|12/34|ghp_", said)


@pytest.mark.parametrize(
    "connection",
    [
        "${DATABASE_URL}",
        "sqlite:///orders.db",
        "sqlite:///C:/data/a@b.db",
        "postgresql+psycopg://app:${PGPASSWORD}@db.internal:5432/shop?sslmode=require&sslkey=/etc/key.pem",
        "postgresql://${USER}:${A}${B}@[::1]:5432/shop?application_name=a@b",
        "postgresql://app:@db/shop",
        "mysql://db/shop?note=a@b",
        "mssql+pyodbc:///?odbc_connect=DRIVER%3D%7BODBC%7D%3BUID%3Du%3BPWD%3D${PW}%3BAuthentication%3DSqlPassword",
        "mongodb://app:${PW}@db/shop?authSource=admin&authMechanism=SCRAM",
    ],
)
def test_a_connection_with_references_is_taken(connection: str):
    DataSources.parse({"sources": [{**DATABASE, "connection": connection}]}, "data_source.yaml")


@pytest.mark.parametrize(
    "endpoint",
    [
        f"https://{TOKEN}@h/x",
        "https://Zx9kqPw81mvLs2Tb7RfY@h/x",
        "https://u:pass@h/x",
        "https://u:pa/ss@h/x",
        "u:pass@h/x",
        "https://h/x?sig=hush",
        "https://h/x?a=1&accessToken=hush",
        "https://h/x#access_token=hush",
        "https://h/x?X-Amz-Signature=hush",
        "https://h/x?next=https%3A%2F%2Fh%2Fx%3Fkey%3Dhush",
    ],
)
def test_an_endpoint_with_a_literal_secret_is_refused_and_not_shown(endpoint: str):
    said = error_of({**API, "endpoint": endpoint})
    assert "put it into an environment variable" in said
    assert not re.search(r"pa.?ss@|hush|ghp_|Zx9", said)


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://example.org:8080/a@b",
        "https://${HOST}:${PORT}/a@b?max_tokens=5&page_token=abc",
        "https://u:${PW}@h/x?api_key=${KEY}",
        "https://mei@h/x?author=li&keyword=a%3Db",
    ],
)
def test_an_endpoint_with_references_is_taken(endpoint: str):
    DataSources.parse({"sources": [{**API, "endpoint": endpoint}]}, "data_source.yaml")


SECRET_NAMES = (
    "accessToken userPassword Ocp-Apim-Subscription-Key X-Functions-Key key sig token TOKEN authToken APIKey apikey"
    " x-api-key api_key_v2 DB_PASSWORD dbpassword passwd PWD pass client_secret clientSecret secret_id Authorization"
    " Proxy-Authorization Cookie Set-Cookie X-Amz-Signature X-Amz-Security-Token sharedAccessKey private_key"
    " credentials_base64 session_id JSESSIONID PHPSESSID sid refresh_token token2 X-Auth-Key auth"
).split()
PLAIN_NAMES = (
    "max_tokens keyword keywords author authors monkey donkey turkey page_token nextPageToken continuationToken"
    " pad_token sort_key primaryKey foreign_key key_column authSource auth_type token_type tokenizer tokens secretary"
    " password_file expires passenger compass signal design session_name user id q limit Accept Content-Type X-Request-Id"
    " snapshot_date cursor region"
).split()


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_a_name_says_that_a_literal_value_under_it_is_a_secret(name: str):
    assert is_secret_name(name)
    for source in ({**API, "headers": {name: "hush"}}, {**API, "params": {name: 77553311}}):
        said = error_of(source)
        assert f"{name} holds a literal secret" in said
        assert not re.search("hush|77553311", said)
    assert show_url(f"https://h/x?{name}=hush") == f"https://h/x?{name}=***"
    DataSources.parse({"sources": [{**API, "headers": {name: "Bearer ${TOKEN}"}}]}, "data_source.yaml")


@pytest.mark.parametrize("name", PLAIN_NAMES)
def test_plain_words_are_no_names_of_secrets(name: str):
    assert not is_secret_name(name)
    DataSources.parse({"sources": [{**API, "params": {name: "abc"}}]}, "data_source.yaml")


GENERATED = {
    "type": "llm_generated",
    "name": "made",
    "provider": "openai",
    "model": "m",
    "prompt_template": "Write {count}.",
    "count": 2,
}


@pytest.mark.parametrize(
    ("source", "field"),
    [
        ({**API, "headers": "Authorization: Bearer hush"}, "headers"),
        ({**API, "headers": {"name": ["x"], "X-Custom": {"a": "hush"}}}, "headers.name"),
        ({**API, "params": "token=hush"}, "params"),
        ({**API, "endpoint": 77553311}, "endpoint"),
        ({**DATABASE, "connection": 77553311}, "connection"),
        ({"type": "web_scrape", "name": "w", "urls": "https://u:hush@h"}, "urls"),
        ({"type": "web_scrape", "name": "w", "urls": [77553311]}, "url 1"),
        ({"type": "hub", "name": "h", "dataset": "a/b", "token": 77553311}, "token"),
        ({"type": "hub", "name": "h", "dataset": "a/b", "token": "hush"}, "token"),
        ({**GENERATED, "base_url": 77553311}, "base_url"),
        ("postgresql://u:hush@h", "source "),
    ],
)
def test_an_error_never_shows_what_was_given_where_secrets_stand(source: dict[str, object], field: str):
    said = error_of(source)
    assert field in said
    assert not re.search("hush|77553311", said)


def test_an_error_shows_what_was_given_elsewhere():
    said = error_of({**API, "retries": "many", "headers": {}})
    assert ": retries: " in said
    assert said.endswith(", not 'many'")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://u:pa/ssw0rd@h/db", "postgresql://u:***@h/db"),
        ("could not open postgresql://u:pa ssw0rd@h/db now", "could not open postgresql://u:***@h/db now"),
        ("https://u:p@h/a and mysql://v:q@w@i/b", "https://u:***@h/a and mysql://v:***@i/b"),
        ("redis://:hush@cache", "redis://:***@cache"),
        ("postgresql://u:${PW}@h/db", "postgresql://u:${PW}@h/db"),
        ("https://example.org:8080/a@b", "https://example.org:8080/a@b"),
        ("http://h:8080 is down, write to a@b.example", "http://h:8080 is down, write to a@b.example"),
        (
            "postgresql://h:5432 is down, write to a@b.example",
            "postgresql://h:5432 is down, write to a@b.example",
        ),
    ],
)
def test_passwords_of_urls_in_a_text_are_hidden_however_they_are_spelled(text: str, shown: str):
    assert hide(text) == shown


@pytest.mark.parametrize(
    ("connection", "noted"),
    [
        ("postgresql://u:pa ss/w0rd@h/db?sslmode=require", "postgresql://u:***@h/db?sslmode=require"),
        ("postgresql://u:${PW}@h/db?password=hush&a=1", "postgresql://u:${PW}@h/db?password=***&a=1"),
        ("mssql+pyodbc:///?odbc_connect=UID%3Du%3BPWD%3Dhush", "mssql+pyodbc:///?odbc_connect=***"),
        ("mssql+pyodbc:///?odbc_connect=PWD%3D${PW}", "mssql+pyodbc:///?odbc_connect=PWD%3D${PW}"),
        ("${DATABASE_URL}", "${DATABASE_URL}"),
        ("sqlite:///orders.db", "sqlite:///orders.db"),
    ],
)
def test_the_note_of_a_connection_holds_no_secret(connection: str, noted: str):
    assert show_connection(connection) == noted


@given(st.text(alphabet=st.characters(exclude_characters="@$*\n", exclude_categories=["Cs"]), min_size=1))
def test_a_password_that_sqlalchemy_reads_is_refused_and_hidden(password: str):
    from sqlalchemy.engine import make_url

    url = f"postgresql://u:{password}@hhhh/dddd"
    assert make_url(url).host == "hhhh"
    assert show_connection(url) == "postgresql://u:***@hhhh/dddd"
    assert "literal" in error_of({**DATABASE, "connection": url})
