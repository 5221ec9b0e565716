"""`data_source.yaml`: where the rows come from and how they become train, valid and test."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, Field, SerializerFunctionWrapHandler, model_serializer

from nlp_skills.data.secret import refuse_url_password, require_reference
from nlp_skills.records import Record

SplitName = Literal["train", "valid", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "valid", "test")
FileFormat = Literal["jsonl", "json", "csv", "tsv", "parquet", "excel", "text"]
Scalar: TypeAlias = str | int | float | bool | None


def _source_name(name: str) -> str:
    if not re.fullmatch(r"[\w][\w.-]{0,62}", name):
        raise ValueError("use letters, digits, dots, hyphens and underscores")
    return name


def _no_password(url: str) -> str:
    refuse_url_password(url)
    return url


def _referenced(values: dict[str, Scalar]) -> dict[str, Scalar]:
    for name, value in values.items():
        require_reference(name, value)
    return values


Url = Annotated[str, AfterValidator(_no_password)]
"""May hold ${NAME}, read from the environment while fetching; a literal password in it is an error. Its fields have
repr=False: no error shows what was given."""
Values = Annotated[dict[str, Scalar], AfterValidator(_referenced)]
"""Named values that may hold ${NAME}; a literal value under a name like token or password is an error. Its fields
have repr=False."""


class Columns(Record):
    """Which column plays which part; what is None is detected from names and values."""

    text: str | None = None
    label: str | None = None
    entity: str | None = None
    group: str | None = None
    """Rows with the same value never stand on two sides of a split."""
    prompt: str | None = None
    completion: str | None = None
    messages: str | None = None
    chosen: str | None = None
    rejected: str | None = None
    id: str | None = None
    """What names a row from one reading to the next: changes are told by it, and a later reading replaces by it."""


class Source(Record):
    """What every kind of source has."""

    name: Annotated[str, AfterValidator(_source_name)]
    snapshot_date: str | None = None
    """The day as of which the rows are meant; a database query may use it as :snapshot_date."""
    columns: Columns = Columns()
    side: SplitName | None = None
    """Put the whole source on one side of the split; None: divide it."""
    max_rows: int | None = Field(default=None, gt=0)
    """Take at most so many rows, the first ones."""

    @model_serializer(mode="wrap")
    def _type_first(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """`type` decides what the other fields mean: it is written even where it is the default."""
        return {"type": type(self).model_fields["type"].default, **serialize(self)}


class FileSource(Source):
    """A file, or every file that a pattern matches; relative to the task folder, or absolute."""

    type: Literal["file"] = "file"
    path: str
    """`inbox/reviews.csv`, or a pattern: `inbox/*.csv`, `exports/**/*.jsonl`."""
    format: FileFormat | None = None
    """None: detected from content and name."""
    encoding: str | None = None
    """None: detected."""
    sheet: str | None = None
    """Excel and ODS: the sheet's name; None: the first."""


class DatabaseSource(Source):
    """A single SELECT against any database that SQLAlchemy knows."""

    type: Literal["database"] = "database"
    connection: Url = Field(repr=False)
    """`postgresql+psycopg://user:${PGPASSWORD}@host/db`, `sqlite:///orders.db` (relative to the task folder), `${DATABASE_URL}`."""
    query: str
    params: Values = Field(default={}, repr=False)
    """Values for `:name` in the query."""
    since: str | None = None
    """A column that only grows (updated_at, id): only rows from its last value on are read, and join those read before."""
    max_seconds: float = Field(default=3_600, gt=0)
    """For the whole reading; the database itself stops a query that takes longer, where it can."""


class Paging(Record):
    """How an API hands out the pages after the first."""

    style: Literal["page", "offset", "cursor", "link", "next_url"]
    """page and offset count; cursor sends back a value of the answer; link follows the Link header (RFC 8288), next_url a URL in the answer."""
    param: str | None = None
    """The query parameter (or GraphQL variable) to count or send back; None: page, offset or cursor."""
    start: int | None = None
    """First page or offset; None: 1 for page, 0 for offset."""
    size_param: str | None = None
    """The parameter that asks for `size` rows a page; for example limit or per_page."""
    size: int | None = Field(default=None, gt=0)
    path: str | None = None
    """Where the answer holds the next cursor or URL: `meta.next_cursor`, `data.orders.pageInfo.endCursor`."""
    max_pages: int = Field(default=10_000, gt=0)


class ApiSource(Source):
    """Rows from an HTTP API that answers in JSON."""

    type: Literal["api"] = "api"
    endpoint: Url = Field(repr=False)
    params: Values = Field(default={}, repr=False)
    headers: Values = Field(default={}, repr=False)
    """`Authorization: Bearer ${API_TOKEN}`."""
    graphql: str | None = None
    """A query, sent by POST; `params` are its variables."""
    paging: Paging | None = None
    records_path: str | None = None
    """Where the rows stand: `data.items`; None: the answer itself, or its only list."""
    max_seconds: float = Field(default=600, gt=0)
    """For the whole source."""
    request_seconds: float = Field(default=30, gt=0)
    max_bytes: int = Field(default=50_000_000, gt=0)
    """For one answer."""
    retries: int = Field(default=5, ge=0)
    """How often a request is repeated after 429, 5xx or a broken connection; Retry-After is honoured."""
    private_hosts: list[str] = []
    """`host` or `host:port` inside the own network that may be called; others there are refused."""


class WebSource(Source):
    """The main text of web pages, one row a page."""

    type: Literal["web_scrape"] = "web_scrape"
    urls: list[Url] = Field(default=[], repr=False)
    sitemaps: list[Url] = Field(default=[], repr=False)
    """Sitemap files, or sites whose sitemap is looked for in robots.txt and /sitemap.xml."""
    keywords: list[str] = []
    """Keep pages whose text holds at least one of them; upper and lower case are the same."""
    follow_links: int = Field(default=0, ge=0, le=5)
    """How many steps to follow links from `urls`, on the same host."""
    max_pages: int = Field(default=1_000, gt=0)
    seconds_between_requests: float = Field(default=1.0, ge=0)
    """To the same host; a longer Crawl-delay of its robots.txt counts instead."""
    near_duplicates: float = Field(default=0.85, gt=0, le=1)
    """Pages as similar as this (Jaccard of word 3-shingles) to an earlier one are left out; 1: only equal ones."""
    min_characters: int = Field(default=200, ge=0)
    """Pages with less text are left out."""
    max_bytes: int = Field(default=10_000_000, gt=0)
    """For one page."""
    request_seconds: float = Field(default=30, gt=0)
    max_seconds: float = Field(default=3_600, gt=0)
    user_agent: str = "nlp-skills"
    """What robots.txt knows us by."""
    private_hosts: list[str] = []
    """As in an api source."""


class Price(Record):
    """What a provider charges, in US dollars for a million tokens."""

    input: float = Field(ge=0)
    output: float = Field(ge=0)


class GeneratedSource(Source):
    """Rows that a language model writes."""

    type: Literal["llm_generated"] = "llm_generated"
    provider: Literal["anthropic", "openai", "ollama"]
    """openai: every server that speaks its chat completions (vLLM, llama.cpp, OpenRouter …) by base_url."""
    model: str
    base_url: Url | None = Field(default=None, repr=False)
    prompt_template: str
    """With {count}, and where wanted {label} and {examples}."""
    count: int = Field(gt=0)
    """Rows in all; with {label} divided evenly over the task's labels."""
    row_schema: dict[str, str | dict[str, Any]] = Field(default={"text": "string"}, alias="schema")
    """The fields of a row: name → string, integer, number, boolean, or a JSON Schema (lists, objects, enum);
    {label} adds the field label by itself."""
    rows_per_request: int = Field(default=10, gt=0, le=100)
    examples: int = Field(default=3, ge=0)
    """How many training rows {examples} shows; never rows of the test split."""
    parallel: int = Field(default=4, gt=0, le=64)
    """Requests that are under way at the same time."""
    max_output_tokens: int = Field(default=4_096, gt=0)
    temperature: float | None = Field(default=None, ge=0, le=2)
    """For openai and ollama; anthropic has no such setting any more."""
    budget_usd: float | None = Field(default=None, ge=0)
    budget_tokens: int | None = Field(default=None, gt=0)
    """Input and output together. Before a request that might exceed a budget the generation stops."""
    price: Price | None = None
    """Needed for budget_usd unless the model runs on this machine or in the private network (also ollama): prices are
    not built in, they change. A price for a model on a private host says that it is paid for after all."""
    near_duplicates: float = Field(default=0.8, gt=0, le=1)
    """Rows as similar as this to an existing or generated one are dropped (Jaccard of word 3-shingles)."""
    seed: int = 13


class HubSource(Source):
    """A dataset of the Hugging Face Hub, pinned to a revision."""

    type: Literal["hub"] = "hub"
    dataset: str
    """`owner/name`."""
    subset: str | None = None
    split: str = "train"
    """The dataset's own split."""
    revision: str | None = None
    """A commit; None: the newest, which the snapshot records."""
    token: str | None = Field(default=None, repr=False)
    """`${HF_TOKEN}` for a gated or private dataset; None: what huggingface_hub finds."""

    def model_post_init(self, _context: object) -> None:
        """The token is a reference."""
        require_reference("token", self.token)


DataSource: TypeAlias = Annotated[
    FileSource | DatabaseSource | ApiSource | WebSource | GeneratedSource | HubSource,
    Field(discriminator="type"),
]
"""The union on `type`."""


class SplitSettings(Record):
    """How examples are divided: a share below 1, or a number of rows."""

    train: float | None = Field(default=None, gt=0)
    """None: everything that valid and test leave."""
    valid: float = Field(default=0.15, ge=0)
    test: float = Field(default=0.15, ge=0)
    seed: int = 13
    stratify: bool = True
    """Keep the shares of the labels the same on every side."""
    similar: float | None = Field(default=None, gt=0, lt=1)
    """Keep rows whose inputs are as similar as this on one side (Jaccard of word 3-shingles), as far as sides can
    still be filled. None: only equal inputs and rows of one group."""


class Retention(Record):
    """Which snapshots stay in data/snapshots/ once other data have taken their place."""

    keep: int = Field(default=3, ge=0)
    """So many of the newest."""
    days: int | None = Field(default=None, gt=0)
    """And of those none older than this."""
    keep_trained: bool = True
    """Those that a version was trained on stay in any case."""


class Regeneration(Record):
    """What makes the data again, and when that was last done."""

    script: str = "scripts/01_regenerate_data.py"
    last_run: str | None = None


class DataSources(Record):
    """`data_source.yaml`. The order of the sources is their rank: of equal rows the first is kept."""

    sources: list[DataSource] = Field(default=[], repr=False)
    deduplicate: bool = True
    """Drop rows that are equal in everything the model sees."""
    near_duplicates: float | None = Field(default=None, gt=0, lt=1)
    """Drop rows whose input is as similar as this to an earlier one (Jaccard of word 3-shingles)."""
    conflicts: Literal["keep", "first", "drop"] = "keep"
    """Rows with the same input and another answer: keep all, the first, or none of them."""
    skip_bad_rows: bool = False
    """Leave out rows that cannot be used; otherwise they stop the regeneration."""
    fixes: list[str] = []
    """Checks whose automatic fix is applied to the splits (fix_data writes them here)."""
    max_age_days: float | None = Field(default=None, gt=0)
    """Data that were fetched longer ago are reported as stale (DATA-STALE)."""
    split: SplitSettings = SplitSettings()
    retention: Retention = Retention()
    regeneration: Regeneration = Regeneration()

    def model_post_init(self, _context: object) -> None:
        """Names are file names in data/raw, so on some systems "News" and "news" are the same."""
        names = [source.name.casefold() for source in self.sources]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"sources: two are named {twice[0]!r}; give each a name of its own")
