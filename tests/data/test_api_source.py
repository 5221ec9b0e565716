"""The api source against servers that speak HTTP: paging, caching, errors, secrets."""

import gzip
import json
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from web_servers import Asked, Sent, Site, Waits, as_html, as_json

from nlp_skills.data.sources.api import read
from nlp_skills.data.sources.fetch import ORIGIN, Fetch
from nlp_skills.data.sources.source import ApiSource, Paging
from nlp_skills.data.sources.web.paging import next_link
from nlp_skills.data.sources.web.records import MISSING, describe, find, find_records
from nlp_skills.data.sources.web.request import RequestFailed
from nlp_skills.errors import NotReady, NotValid

ITEMS = [{"id": number, "text": f"ticket {number}"} for number in range(25)]
TOKEN = "tok-9f8e7d6c5b/4a+3=="
"""Stands for a secret; nothing that is shown or kept may hold it."""


def source(site: Site, path: str = "/items", **fields: Any) -> ApiSource:
    return ApiSource(name="tickets", endpoint=site.url + path, private_hosts=[site.host], **fields)


def rows(source: ApiSource, fetch: Fetch, waits: Waits | None = None) -> list[dict[str, Any]]:
    """The rows without their origin, after a look at their numbers."""
    found = list(read(source, fetch, surroundings=(waits or Waits()).surroundings()))
    assert [number for number, _ in found] == list(range(1, len(found) + 1))
    return [{name: value for name, value in row.items() if name != ORIGIN} for _, row in found]


@pytest.fixture
def fetch(tmp_path: Path) -> Fetch:
    return Fetch(tmp_path)


def paged(asked: Asked, size: int = 10, items: list[dict[str, Any]] = ITEMS) -> list[dict[str, Any]]:
    start = (int(asked.query["page"]) - 1) * size
    return items[start : start + size]


def test_an_answer_that_is_a_list_gives_its_objects_as_they_are(fetch: Fetch):
    nested = [{"a": {"b": [1, {"c": None}]}, "d": 1.5}, {"a": "繁體", "e": True}]
    with Site(lambda _: as_json(nested)) as site:
        found = list(read(source(site, "/x?y=1"), fetch))
    origin = {"url": f"{site.url}/x?y=1"}
    assert found == [(1, {**nested[0], ORIGIN: origin}), (2, {**nested[1], ORIGIN: origin})]
    assert fetch.notes == {
        "endpoint": f"{site.url}/x?y=1",
        "params": None,
        "graphql": None,
        "pages": 1,
        "requests": 1,
        "from_cache": 0,
        "bytes": len(json.dumps(nested)),
    }


def test_pages_are_counted_until_one_is_shorter(fetch: Fetch):
    with Site(lambda a: as_json({"data": {"items": paged(a)}})) as site:
        paging = Paging(style="page", size_param="per_page", size=10)
        asked_for = source(site, params={"open": True}, paging=paging, records_path="data.items")
        assert rows(asked_for, fetch) == ITEMS
    assert [a.query for a in site.asked] == [
        {"open": "true", "per_page": "10", "page": page} for page in ("1", "2", "3")
    ]


def test_a_size_that_is_known_and_not_asked_for_makes_a_short_first_page_the_last(fetch: Fetch):
    with Site(lambda a: as_json(paged(a, items=ITEMS[:3]))) as site:
        assert rows(source(site, paging=Paging(style="page", size=10)), fetch) == ITEMS[:3]
    assert [a.query for a in site.asked] == [{"page": "1"}]


def test_pages_are_counted_until_one_is_empty(fetch: Fetch):
    with Site(lambda a: as_json(paged(a, 5))) as site:
        assert rows(source(site, paging=Paging(style="page")), fetch) == ITEMS
    assert [a.query["page"] for a in site.asked] == ["1", "2", "3", "4", "5", "6"]


def test_a_server_that_gives_fewer_rows_at_once_than_asked_for_is_read_to_the_end(fetch: Fetch):
    def capped(asked: Asked) -> Sent:
        start = int(asked.query["skip"])
        return as_json(ITEMS[start : start + min(4, int(asked.query["limit"]))])

    with Site(capped) as site:
        paging = Paging(style="offset", param="skip", size_param="limit", size=100)
        assert rows(source(site, paging=paging), fetch) == ITEMS
    assert [a.query["skip"] for a in site.asked] == ["0", "4", "8", "12", "16", "20", "24"]


def test_a_404_after_a_page_is_the_end_and_before_one_an_error(fetch: Fetch):
    with Site(
        lambda a: as_json(paged(a)) if a.query["page"] < "3" else as_json({"detail": "Invalid page."}, 404)
    ) as site:
        assert rows(source(site, paging=Paging(style="page")), fetch) == ITEMS[:20]
        with pytest.raises(RequestFailed, match="status 404"):
            rows(source(site, paging=Paging(style="page", start=3)), fetch)


def test_a_server_that_does_not_know_the_page_parameter_is_an_error_and_no_loop(fetch: Fetch):
    with Site(lambda _: as_json(ITEMS)) as site:
        with pytest.raises(NotValid) as wrong:
            rows(source(site, paging=Paging(style="page", param="seite")), fetch)
    assert str(wrong.value) == (
        "Source tickets: seite 2 brought the same rows as a page before: the server does not page by 'seite'. Set"
        " paging.param to the name that it knows, or another style."
    )


def by_cursor(asked: Asked) -> Sent:
    start = int(asked.query.get("after", "c0")[1:])
    following = f"c{start + 10}" if start + 10 < len(ITEMS) else None
    return as_json({"items": ITEMS[start : start + 10], "meta": {"next": following}})


def test_a_cursor_is_sent_back_until_there_is_none(fetch: Fetch):
    with Site(by_cursor) as site:
        paging = Paging(style="cursor", param="after", path="meta.next")
        assert rows(source(site, paging=paging, params={"q": "é"}), fetch) == ITEMS
    assert [a.query for a in site.asked] == [
        {"q": "é"},
        {"q": "é", "after": "c10"},
        {"q": "é", "after": "c20"},
    ]


@pytest.mark.parametrize("last", [{}, {"meta": {}}, {"meta": {"next": ""}}, {"meta": {"next": False}}])
def test_a_cursor_that_is_missing_or_empty_is_the_end(last: dict[str, Any], fetch: Fetch):
    with Site(
        lambda a: as_json(
            {"items": ITEMS[:2], "meta": {"next": "x"}} if not a.query else {"items": ITEMS[2:3], **last}
        )
    ) as site:
        assert rows(source(site, paging=Paging(style="cursor", path="meta.next")), fetch) == ITEMS[:3]


def test_has_more_false_beside_a_cursor_is_the_end(fetch: Fetch):
    def stripe(asked: Asked) -> Sent:
        start = int(asked.query.get("starting_after", -1)) + 1
        return as_json({"data": ITEMS[start : start + 10], "has_more": start + 10 < len(ITEMS)})

    with Site(stripe) as site:
        paging = Paging(style="cursor", param="starting_after", path="data[-1].id")
        assert rows(source(site, paging=paging), fetch) == ITEMS
    assert [a.query.get("starting_after") for a in site.asked] == [None, "9", "19"]


def test_the_same_cursor_twice_is_an_error_and_no_loop(fetch: Fetch):
    with Site(lambda _: as_json({"items": ITEMS[:1], "next": "again"})) as site:
        with pytest.raises(NotValid, match="sent the same cursor twice, so its pages would never end"):
            rows(source(site, paging=Paging(style="cursor", path="next")), fetch)
    assert len(site.asked) == 2


def test_a_cursor_path_that_leads_nowhere_is_an_error_that_lists_the_keys(fetch: Fetch):
    with Site(by_cursor) as site:
        with pytest.raises(
            NotValid,
            match=r"nothing at paging path 'mta\.next'\. There is: items \(a list of 10\), meta \{next\}",
        ):
            rows(source(site, paging=Paging(style="cursor", path="mta.next")), fetch)


def test_the_link_header_is_followed_also_where_it_is_relative_and_holds_several_links(fetch: Fetch):
    def linked(asked: Asked) -> Sent:
        page = int(asked.query.get("page", 1))
        links = [
            f'</items?page={n}>; rel="{rel}"' for n, rel in ((1, "first"), (page + 1, "next"), (3, "last"))
        ]
        links = [links[0], links[2]] if page == 3 else links
        return as_json(ITEMS[(page - 1) * 10 : page * 10], link=", ".join(links))

    with Site(linked) as site:
        assert rows(source(site, paging=Paging(style="link")), fetch) == ITEMS
    assert [a.query.get("page") for a in site.asked] == [None, "2", "3"]


@pytest.mark.parametrize(
    ("header", "target"),
    [
        ('<https://h/a?b=1,2&c=%3B>; rel="next"', "https://h/a?b=1,2&c=%3B"),
        ("<a>; rel=prev, <b>;rel=next", "b"),
        ('<a>; rel="last"; title="say \\"next\\", rel=next", <b>; title="x, y"; REL="Next Foo"', "b"),
        ('<a>; rel="prev next"', "a"),
        ('<a>; anchor="next"', None),
        ("<a>; rel=nextish", None),
        ("", None),
        ("nonsense", None),
    ],
)
def test_the_next_link_is_read_as_rfc_8288_says(header: str, target: str | None):
    assert next_link(header) == target


@given(st.text(max_size=200))
def test_any_link_header_is_read_without_an_error(header: str):
    next_link(header)


@pytest.mark.parametrize(
    "form", ["{url}/more?page={page}", "/more?page={page}", "?page={page}", "more?page={page}"]
)
def test_a_next_url_in_the_answer_is_followed_absolute_and_relative(form: str, fetch: Fetch):
    def named(asked: Asked) -> Sent:
        page = int(asked.query.get("page", 1))
        following = form.format(url=site.url, page=page + 1) if page < 3 else None
        return as_json({"next": following, "results": ITEMS[(page - 1) * 10 : page * 10]})

    with Site(named) as site:
        paging = Paging(style="next_url", path="next")
        assert rows(source(site, "/more", paging=paging, headers={"X-Team": "a"}), fetch) == ITEMS
    assert [(a.path, a.headers["x-team"]) for a in site.asked] == [("/more", "a")] * 3


def test_a_next_url_that_leads_back_is_an_error_and_no_loop(fetch: Fetch):
    with Site(lambda a: as_json({"next": "/b" if a.path == "/a" else "/a", "rows": [{"x": a.path}]})) as site:
        with pytest.raises(NotValid, match="sent the same URL of the next page twice"):
            rows(source(site, "/a", paging=Paging(style="next_url", path="next")), fetch)
    assert site.paths() == ["/a", "/b"]


def test_only_the_same_host_gets_the_credentials_of_the_next_page(
    fetch: Fetch, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("API_TOKEN", TOKEN)
    with Site(lambda _: as_json({"next": None, "rows": [{"x": 2}]})) as other:
        with Site(
            lambda a: as_json({"next": f"{other.url}/b?key={a.query['key']}", "rows": [{"x": 1}]})
        ) as site:
            asked_for = ApiSource(
                name="tickets",
                endpoint=f"{site.url}/a",
                params={"key": "${API_TOKEN}"},
                headers={"Authorization": "Bearer ${API_TOKEN}"},
                paging=Paging(style="next_url", path="next"),
                private_hosts=[site.host, other.host],
            )
            assert rows(asked_for, fetch) == [{"x": 1}, {"x": 2}]
    assert site.asked[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert "authorization" not in other.asked[0].headers
    assert other.asked[0].query == {"key": "${API_TOKEN}"}


def test_the_size_of_pages_is_asked_for_with_every_style(fetch: Fetch):
    with Site(by_cursor) as site:
        paging = Paging(style="cursor", param="after", path="meta.next", size_param="limit", size=10)
        assert rows(source(site, paging=paging), fetch) == ITEMS
        with pytest.raises(NotValid, match="size_param 'limit' needs size"):
            rows(source(site, paging=Paging(style="page", size_param="limit")), fetch)
        with pytest.raises(NotValid, match="style cursor needs path"):
            rows(source(site, paging=Paging(style="cursor")), fetch)
    assert [a.query["limit"] for a in site.asked] == ["10", "10", "10"]


def test_max_pages_ends_the_reading_and_is_noted(fetch: Fetch):
    with Site(lambda a: as_json([{"page": a.query["page"]}])) as site:
        assert len(rows(source(site, paging=Paging(style="page", max_pages=3)), fetch)) == 3
    assert (fetch.notes["stopped"], len(site.asked)) == ("max_pages 3", 3)


def test_max_rows_and_a_preview_request_no_more_than_they_need(fetch: Fetch, tmp_path: Path):
    paging = Paging(style="page", size_param="n", size=10)
    with Site(lambda a: as_json(paged(a), etag='"1"')) as site:
        assert rows(source(site, paging=paging, max_rows=10), fetch) == ITEMS[:10]
        assert len(site.asked) == 1
        preview = read(source(site, paging=paging), Fetch(tmp_path / "preview", preview=True))
        assert len(list(islice(preview, 5))) == 5
    assert len(site.asked) == 2
    assert not (tmp_path / "preview").exists()


GRAPHQL = "query($after: String) { orders(first: 10, after: $after) { nodes { id } pageInfo { endCursor hasNextPage } } }"


def graphql(asked: Asked) -> Sent:
    start = int(json.loads(asked.body)["variables"].get("after") or 0)
    info = {"endCursor": str(start + 10), "hasNextPage": start + 10 < len(ITEMS)}
    return as_json({"data": {"orders": {"nodes": ITEMS[start : start + 10], "pageInfo": info}}})


def test_graphql_is_posted_and_paged_by_a_variable(fetch: Fetch, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("API_TOKEN", TOKEN)
    with Site(graphql) as site:
        asked_for = source(
            site,
            graphql=GRAPHQL,
            params={"shop": "a", "auth_token": "${API_TOKEN}"},
            paging=Paging(style="cursor", param="after", path="data.orders.pageInfo.endCursor"),
        )
        assert rows(asked_for, fetch) == ITEMS
    sent = [json.loads(a.body) for a in site.asked]
    assert [a.method for a in site.asked] == ["POST"] * 3
    given = {"shop": "a", "auth_token": TOKEN}
    assert sent == [
        {"query": GRAPHQL, "variables": variables}
        for variables in (given, {**given, "after": "10"}, {**given, "after": "20"})
    ]
    assert fetch.notes["graphql"] == GRAPHQL


def test_graphql_errors_in_a_200_answer_are_errors(fetch: Fetch):
    with Site(lambda _: as_json({"data": None, "errors": [{"message": "no field ordrs"}, "bad"]})) as site:
        with pytest.raises(
            RequestFailed, match=r"answered with GraphQL errors: no field ordrs; bad\. Check graphql"
        ):
            rows(source(site, graphql="{ ordrs { id } }"), fetch)


@pytest.mark.parametrize("style", ["link", "next_url"])
def test_graphql_has_no_paging_by_url(style: Any, fetch: Fetch):
    with Site(graphql) as site:
        with pytest.raises(NotValid, match=f"GraphQL has no paging of style {style}"):
            rows(source(site, graphql=GRAPHQL, paging=Paging(style=style, path="x")), fetch)


def with_etags(asked: Asked) -> Sent:
    tag = f'"v1-{asked.query["page"]}"'
    if asked.headers.get("if-none-match") == tag:
        return Sent(status=304, headers={"etag": tag})
    return as_json(paged(asked), etag=tag)


def test_pages_that_have_not_changed_are_not_sent_again(fetch: Fetch, tmp_path: Path):
    paging = Paging(style="page", size_param="n", size=10)
    with Site(with_etags) as site:
        first = list(read(source(site, paging=paging), fetch))
        again = Fetch(tmp_path)
        assert list(read(source(site, paging=paging), again)) == first
    assert (again.notes["requests"], again.notes["from_cache"], again.notes["bytes"]) == (3, 3, 0)


def test_another_account_is_not_given_what_was_kept_for_the_first(
    fetch: Fetch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with Site(
        lambda a: as_json([{"who": a.headers["x-key"]}], last_modified="Mon, 21 Sep 2026 08:00:00 GMT")
    ) as site:
        for account in ("ann", "bob"):
            monkeypatch.setenv("ACCOUNT", account)
            asked_for = source(site, headers={"X-Key": "${ACCOUNT}"})
            assert rows(asked_for, Fetch(tmp_path)) == [{"who": account}]
    assert [a.headers.get("if-modified-since") for a in site.asked] == [None, None]


def test_last_modified_is_asked_for_where_there_is_no_etag(fetch: Fetch, tmp_path: Path):
    date = "Mon, 21 Sep 2026 08:00:00 GMT"

    def dated(asked: Asked) -> Sent:
        if asked.headers.get("if-modified-since") == date:
            return Sent(status=304)
        return as_json(ITEMS, last_modified=date)

    with Site(dated) as site:
        assert rows(source(site), fetch) == ITEMS
        assert rows(source(site), Fetch(tmp_path)) == ITEMS
    assert [a.headers.get("if-modified-since") for a in site.asked] == [None, date]


def test_what_is_kept_of_requests_that_are_not_made_any_more_is_dropped(fetch: Fetch, tmp_path: Path):
    paging = Paging(style="page", size_param="n", size=10)
    with Site(with_etags) as site:
        rows(source(site, paging=paging), fetch)
        kept = sorted(path.name for path in fetch.cache("tickets").iterdir())
        rows(source(site, paging=paging, params={"q": "x"}), Fetch(tmp_path))
        changed = sorted(path.name for path in fetch.cache("tickets").iterdir())
    assert (len(kept), len(changed), set(kept) & set(changed)) == (3, 3, set())


def test_a_damaged_file_in_the_cache_costs_a_request_and_nothing_else(fetch: Fetch, tmp_path: Path):
    with Site(lambda a: as_json(ITEMS, etag='"1"')) as site:
        rows(source(site), fetch)
        (kept,) = fetch.cache("tickets").iterdir()
        kept.write_bytes(kept.read_bytes()[:40])
        assert rows(source(site), Fetch(tmp_path)) == ITEMS
    assert "if-none-match" not in site.asked[1].headers


def test_a_secret_is_sent_and_never_shown_or_kept(
    fetch: Fetch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    """In the header, the query, the password; the server repeats it in rows, next URL, ETag and errors."""
    monkeypatch.setenv("API_TOKEN", TOKEN)
    monkeypatch.setenv("API_PIN", "47")

    def repeats(asked: Asked) -> Sent:
        assert asked.headers["x-token"] == TOKEN
        assert (asked.query["key"], asked.query["pin"]) == (TOKEN, "47")
        assert asked.headers["authorization"].startswith("Basic ")
        page = int(asked.query.get("page", 1))
        if page == 3:
            said = (
                f"key {TOKEN} has expired; you sent {asked.headers['authorization']} from {dict(asked.query)}"
            )
            return as_json({"message": said}, 403)
        spelled = TOKEN.replace("/", "%2F").replace("+", "%2B").replace("=", "%3D")
        following = f"{site.url}/items?page={page + 1}" + (f"&key={spelled}" if page == 1 else "")
        echoed = {"you": TOKEN, "url": following, "nested": [{"h": f"Bearer {TOKEN}"}]}
        return as_json(
            {"items": [echoed], "next": following}, etag=f'"{TOKEN}"', link=f"<{following}>; rel=next"
        )

    with Site(repeats) as site:
        asked_for = ApiSource(
            name="tickets",
            endpoint=f"http://user:${{API_TOKEN}}@{site.host}/items?key=${{API_TOKEN}}",
            params={"pin": "${API_PIN}"},
            headers={"X-Token": "${API_TOKEN}"},
            paging=Paging(style="next_url", path="next"),
            private_hosts=[site.host],
        )
        reading = read(asked_for, fetch)
        got = [next(reading), next(reading)]
        with pytest.raises(RequestFailed) as failed:
            next(reading)
    assert [row["you"] for _, row in got] == ["${API_TOKEN}"] * 2
    assert got[0][1][ORIGIN] == {"url": f"{site.url}/items?key=${{API_TOKEN}}&pin=${{API_PIN}}"}
    kept = b"".join(gzip.decompress(path.read_bytes()) for path in fetch.cache("tickets").iterdir())
    shown = repr([got, fetch.notes, str(failed.value), kept.decode(), capfd.readouterr()])
    names = [path.name for path in tmp_path.rglob("*")]
    base64 = site.asked[0].headers["authorization"].removeprefix("Basic ")
    for secret in (TOKEN, TOKEN.replace("/", "\\/"), "tok-9f8e7d6c5b", base64, "pin=47"):
        assert secret not in shown
        assert secret not in repr(names)
    assert "key ${API_TOKEN} has expired" in str(failed.value)


def test_a_variable_that_is_not_set_is_named(fetch: Fetch, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("NO_SUCH_TOKEN", raising=False)
    with Site(lambda _: as_json([])) as site:
        with pytest.raises(NotReady, match="NO_SUCH_TOKEN is not set"):
            rows(source(site, headers={"Authorization": "Bearer ${NO_SUCH_TOKEN}"}), fetch)
    assert site.asked == []


def test_a_value_with_a_line_end_is_sent_without_it(fetch: Fetch, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("API_TOKEN", "abc\n")
    with Site(lambda _: as_json(ITEMS)) as site:
        assert rows(source(site, headers={"Authorization": "Bearer ${API_TOKEN}"}), fetch) == ITEMS
    assert site.asked[0].headers["authorization"] == "Bearer abc"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            Sent(b"<!doctype html><title>Sign in</title>"),
            "answered with HTML or XML, not JSON: '<!doctype html>",
        ),
        (as_html("<p>hello"), "this may be a login page"),
        (Sent(b'{"items": [1, 2'), "did not answer with valid JSON"),
        (Sent(b'{"items": [{"x": NaN}]}'), "did not answer with valid JSON"),
        (Sent(b"[" * 100_000), "did not answer with valid JSON"),
        (Sent(b""), "answered with nothing where JSON is expected"),
        (Sent(b'[{"x": "\xff"}]'), "did not answer in UTF-8"),
        (
            as_json({"a": 1, "error": {"code": 5}}),
            "holds no list of objects. There is: a (a number), error {code}.",
        ),
        (as_json({"a": [{"x": 1}], "b": {"c": [{"y": 1}]}}), "holds several lists: a, b.c. Set records_path"),
        (as_json(["one", "two"]), "item 1 of the answer is text, and a row has to be an object"),
        (as_json("text"), "holds no list of objects. There is: text."),
    ],
)
def test_an_answer_that_holds_no_rows_says_what_it_is(answer: Sent, said: str, fetch: Fetch):
    with Site(lambda _: answer) as site:
        with pytest.raises(NotValid) as wrong:
            rows(source(site), fetch)
    assert said in str(wrong.value)


def test_an_answer_in_another_charset_is_read_where_the_server_names_it(fetch: Fetch):
    body = '[{"text": "naïve"}]'.encode("latin-1")
    with Site(lambda _: Sent(body, headers={"content-type": "application/json; charset=ISO-8859-1"})) as site:
        assert rows(source(site), fetch) == [{"text": "naïve"}]


def test_a_records_path_that_leads_nowhere_lists_what_there_is(fetch: Fetch):
    with Site(lambda _: as_json({"data": {"orders": [], "total": 0}, "ok": True})) as site:
        with pytest.raises(NotValid) as wrong:
            rows(source(site, records_path="data.items"), fetch)
    assert str(wrong.value) == (
        f"{site.url}/items has nothing at records_path 'data.items'."
        " There is: data {orders, total}, ok (true or false)."
    )


def test_records_are_found_by_names_and_numbers():
    answer = {"a": [{"b": {"c": [{"x": 1}]}}], "n": None, "one": {"x": 2}}
    for path in ("a[0].b.c", "a.0.b.c", "a[-1].b.c"):
        assert find_records(answer, path, "h") == [{"x": 1}]
    assert find_records(answer, "n", "h") == []
    assert find_records(answer, "one", "h") == [{"x": 2}]
    assert find(answer, "a[7].b") is MISSING
    assert find_records({"data": {"nodes": [], "total": 0}}, None, "h") == []


def test_many_keys_are_described_briefly():
    described = describe({f"k{number}": number for number in range(30)})
    assert described.endswith("k19 (a number) and 10 more")


@pytest.mark.parametrize(
    ("status", "cure"),
    [
        (400, "Check endpoint, params and headers"),
        (401, "Check the credentials"),
        (404, "Check endpoint, and params"),
    ],
)
def test_a_refusal_is_told_with_what_the_server_says(status: int, cure: str, fetch: Fetch):
    with Site(lambda _: as_json({"message": "not like this"}, status)) as site:
        with pytest.raises(RequestFailed) as failed:
            rows(source(site), fetch)
    assert f'answered with status {status}. It says: \'{{"message": "not like this"}}\'.' in str(failed.value)
    assert cure in str(failed.value)


def test_a_429_between_pages_is_waited_for_and_nothing_is_lost(fetch: Fetch):
    refused: list[str] = []

    def busy(asked: Asked) -> Sent:
        if asked.query["page"] == "2" and not refused:
            refused.append("2")
            return Sent(status=429, headers={"retry-after": "5"})
        return as_json(paged(asked))

    waits = Waits()
    with Site(busy) as site:
        assert rows(source(site, paging=Paging(style="page")), fetch, waits) == ITEMS
    assert waits.seconds == [5.0]
