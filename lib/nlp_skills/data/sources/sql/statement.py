"""The query of a database source: one statement that only reads, and the parameters in it.

    query ──tokens──▶ one SELECT? ──▶ names of :parameters ──▶ text for SQLAlchemy

The database refuses writing by itself where it can (stream.py). This comes before it, says what is wrong in
a sentence, and stands alone where a database has no transaction that may only read. What two readers might
take for different things (nested comments, a backslash before a quote) is refused rather than guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from nlp_skills.errors import NotValid

_READS = {"SELECT", "VALUES"}
_WRITES = {"INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE", "UPSERT"}
_STARTS_A_STATEMENT = set(
    "ADD ALTER BACKUP BEGIN BREAK BULK CHECKPOINT CLOSE COMMIT CONTINUE CREATE DBCC DEALLOCATE DECLARE DELETE DENY DISK"
    " DROP DUMP EXEC EXECUTE GOTO GRANT IF INSERT KILL LINENO LOAD MERGE OPEN PRINT RAISERROR READTEXT RECEIVE"
    " RECONFIGURE RESTORE RETURN REVERT REVOKE ROLLBACK SAVE SET SETUSER SHUTDOWN THROW TRUNCATE UPDATE UPDATETEXT USE"
    " WAITFOR WHILE WRITETEXT".split()
)
"""In T-SQL a statement may follow another without a semicolon. All but RECEIVE and THROW are reserved; a column of
such a name is written [receive]."""
_STARTS_WITH_TWO_WORDS = {
    ("DISABLE", "TRIGGER"),
    ("ENABLE", "TRIGGER"),
    ("END", "CONVERSATION"),
    ("GET", "CONVERSATION"),
    ("MOVE", "CONVERSATION"),
    ("SEND", "ON"),
    ("NEXT", "VALUE"),
}
"""Statements of T-SQL whose first word is also an ordinary name; and NEXT VALUE FOR, which moves a sequence on."""
_HINTS = {("USE", "HINT"), ("USE", "PLAN")}
"""OPTION (USE HINT (…)) says how a SELECT is to be run."""
_RUNS_ELSEWHERE = {"OPENQUERY", "OPENROWSET", "OPENDATASOURCE"}
"""They hand a text that is not read here to another server, or read a file of the server."""
_T_SQL_NUMBER = re.compile(r"\d+(?:e\d*)?|0x[\da-f]*", re.I | re.A)
_DOLLAR_QUOTES = {"postgresql", "cockroachdb", "redshift", "duckdb", "snowflake"}
_BRACKET_QUOTES = {"sqlite", "mssql"}
_HASH_COMMENTS = {"mysql", "mariadb", "bigquery"}
_BACKSLASH_IS_A_LETTER = {"postgresql", "sqlite", "mssql", "oracle", "duckdb"}


@dataclass(frozen=True)
class Statement:
    """A query that may be sent."""

    text: str
    """For SQLAlchemy's text(): each colon that begins no parameter is escaped."""
    parameters: tuple[str, ...]
    """Their names, each once, in the order of the query."""


def parse_statement(query: str, dialect: str, where: str) -> Statement:
    """Check that the query is one SELECT, and find its parameters.

    A parameter is `:name` where SQL has no other meaning for it: not in quotes ('12:30') or comments, and no
    cast (x::text). Raises NotValid, naming the source, for everything else than one SELECT, WITH … SELECT or
    VALUES.
    """
    if "${" in query:
        raise NotValid(
            f"{where}: query holds ${{…}}, which only connection and params expand. Write :name in the query and"
            " put the value under params:{in_file()}."
        )
    tokens = list(_tokens(query.replace("\r\n", "\n").replace("\r", "\n"), dialect))
    _refuse_ambiguous(tokens, dialect, where)
    while tokens and tokens[-1][0] in ("space", "comment", "end"):
        tokens.pop()
    code = [(kind, text) for kind, text in tokens if kind not in ("space", "comment")]
    _refuse_other_than_one_select(code, dialect, where)
    return Statement(
        text="".join(text if kind == "param" else text.replace(":", r"\:") for kind, text in tokens),
        parameters=tuple(dict.fromkeys(text[1:] for kind, text in tokens if kind == "param")),
    )


def _tokens(query: str, dialect: str) -> Iterator[tuple[str, str]]:
    for match in _pattern(dialect).finditer(query):
        yield match.lastgroup or "other", match[0]


@cache
def _pattern(dialect: str) -> re.Pattern[str]:
    parts = [
        r"(?P<space>\s+)",
        r"(?P<comment>--[^\n]*|/\*(?s:.*?)\*/" + (r"|\#[^\n]*)" if dialect in _HASH_COMMENTS else ")"),
        r"(?P<quoted>'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`(?:[^`]|``)*`)",
        r"(?P<open>['\"`]|/\*)",
        *([r"(?P<bracketed>\[(?:[^\]]|\]\])*\])"] if dialect in _BRACKET_QUOTES else []),
        *([r"(?P<dollars>\$(?:[^\W\d]\w*)?\$)"] if dialect in _DOLLAR_QUOTES else []),
        r"(?P<word>\w[\w$]*)",
        r"(?P<end>;)",
        r"(?P<param>(?<![\w:$)\]\"'`\\]):[^\W\d]\w*)",
        r"(?P<other>(?s:.))",
    ]
    return re.compile("|".join(parts))


def _refuse_ambiguous(tokens: Iterable[tuple[str, str]], dialect: str, where: str) -> None:
    """What the database might read in another way than it is read here."""
    before = ""
    for kind, text in tokens:
        escapes = dialect not in _BACKSLASH_IS_A_LETTER or before.upper() == "E"
        if kind == "open":
            problem = "a quote or comment that is not closed. Close it"
        elif kind == "dollars":
            problem = "text in dollar quotes ($$…$$). Write it in single quotes"
        elif kind == "quoted" and escapes and re.search(r"\\['\"`]", text):
            problem = "a backslash before a quote. Put that text under params: and write :name in its place"
        elif kind == "comment" and text.startswith("/*") and ("/*" in text[2:] or re.match(r"/\*M?!", text)):
            problem = "a comment inside a comment, or one that is executed (/*! … */). Remove it"
        elif kind == "comment" and dialect in ("mysql", "mariadb") and re.match(r"--\S", text):
            problem = "-- without a space behind it, which is no comment there. Add the space"
        elif (
            dialect == "mssql" and kind == "word" and text[0].isdigit() and not _T_SQL_NUMBER.fullmatch(text)
        ):
            problem = "a number and a word with no space between them. Add the space"
        elif text == "\0":
            problem = "a NUL character. Remove it"
        else:
            before = text if kind == "word" else ""
            continue
        raise NotValid(f"{where}: query holds {problem}.")


def _refuse_other_than_one_select(code: list[tuple[str, str]], dialect: str, where: str) -> None:
    words = {text.upper() for kind, text in code if kind == "word"}
    verb = _verb(code)
    if any(kind == "end" for kind, _ in code):
        problem = "holds several statements (a semicolon)"
    elif not _is_balanced(code):
        problem = "has parentheses that do not match"
    elif verb not in _READS:
        problem = f"is {verb}, which is no SELECT" if verb else "is no SELECT"
    elif "INTO" in words:
        problem = "writes with INTO"
    elif any(before == "(" and word in _WRITES - {"REPLACE"} for before, word in _words_behind(code)):
        problem = "changes data in a part of it"
    elif dialect == "mssql" and (found := _other_in_t_sql(code)):
        problem = found
    else:
        return
    raise NotValid(
        f"{where}: query {problem}. A database source sends one SELECT and never changes anything:"
        " keep one SELECT (or WITH … SELECT) in query."
    )


def _other_in_t_sql(code: list[tuple[str, str]]) -> str | None:
    """What a query of T-SQL holds beside a SELECT, whether or not a semicolon stands before it."""
    words = [text.upper() if kind == "word" else "" for kind, text in code]
    for word, behind in zip(words, [*words[1:], ""], strict=True):
        if word in _RUNS_ELSEWHERE:
            return f"calls {word}, which runs on another server or reads a file"
        if word in _STARTS_A_STATEMENT and (word, behind) not in _HINTS:
            return f"holds {word}, which begins another statement (as a name it is written [{word.lower()}])"
        if (word, behind) in _STARTS_WITH_TWO_WORDS:
            return f"holds {word} {behind}, which changes something"
    return None


def _is_balanced(code: Iterable[tuple[str, str]]) -> bool:
    depth = 0
    for _, text in code:
        depth += (text == "(") - (text == ")")
        if depth < 0:
            return False
    return depth == 0


def _verb(code: Iterable[tuple[str, str]]) -> str:
    """What the statement does: its first word; after WITH, the first outside parentheses that does something."""
    words = iter(code)
    kind, first = next(((kind, text) for kind, text in words if text != "("), ("", ""))
    if kind != "word" or first.upper() != "WITH":
        return first.upper() if kind == "word" else ""
    depth = 0
    for _, text in words:
        depth += (text == "(") - (text == ")")
        if depth <= 0 and text.upper() in _READS | _WRITES:
            return text.upper()
    return ""


def _words_behind(code: list[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Each token's text, and the word behind it in capitals."""
    for (_, before), (kind, text) in pairwise(code):
        yield before, text.upper() if kind == "word" else ""
