"""The web_scrape source against sites that speak HTTP."""

import gzip
import itertools
import runpy
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from web_servers import Asked, Sent, Site, Waits, as_html

from nlp_skills.data.sources.fetch import ORIGIN, Fetch
from nlp_skills.data.sources.source import WebSource
from nlp_skills.data.sources.web.article import extract_article
from nlp_skills.data.sources.web.charset import decode_page
from nlp_skills.data.sources.web.keywords import Keywords
from nlp_skills.data.sources.web.pages import links_of, normal_url
from nlp_skills.data.sources.web.repeated_lines import RepeatedLines
from nlp_skills.data.sources.web.request import OutOfTime, RequestFailed
from nlp_skills.data.sources.web.sitemaps import read_sitemap
from nlp_skills.data.sources.web_scrape import read
from nlp_skills.errors import NotValid

REPOSITORY = Path(__file__).resolve().parents[2]
WORDS = {
    "bread": "The baker lets the dough rest over night in a cool room and folds it twice before dawn.",
    "ships": "Two freighters left the harbour at noon, loaded with grain, machine parts and some old cars.",
    "stars": "Astronomers pointed the southern telescope at a faint galaxy whose light had travelled for aeons.",
    "trees": "Foresters counted the oaks along the northern ridge and marked those that the storm had broken.",
    "taxes": "Parliament debated the new levy on imported glass until late, and then postponed the final vote.",
    "music": "The orchestra rehearsed the slow movement once more because the horns had entered far too early.",
}


def story(subject: str) -> list[str]:
    """Three paragraphs that are like those of no other subject."""
    return [f"{WORDS[subject]} ({subject}, part {part})" for part in ("one", "two", "three")]


def page(subject: str, links: str = "", *, title: str | None = None) -> str:
    paragraphs = "".join(f"<p>{paragraph}</p>" for paragraph in story(subject))
    title = title or f"About {subject}"
    return (
        f"<html><head><title>{title}</title></head><body><nav>{links}</nav>"
        f"<article><h1>{title}</h1>{paragraphs}</article></body></html>"
    )


def serve(pages: dict[str, str | Sent], robots: str | Sent = "") -> Callable[[Asked], Sent]:
    def answer(asked: Asked) -> Sent:
        if asked.path == "/robots.txt":
            return robots if isinstance(robots, Sent) else Sent(robots.encode())
        found = pages.get(asked.path, Sent(b"gone", 404))
        return found if isinstance(found, Sent) else as_html(found)

    return answer


def source(site: Site, *paths: str, **fields: Any) -> WebSource:
    urls = [site.url + path for path in paths]
    usual = {"min_characters": 100, "private_hosts": [site.host], "urls": urls}
    return WebSource(name="news", **{**usual, **fields})


@pytest.fixture
def fetch(tmp_path: Path) -> Fetch:
    return Fetch(tmp_path)


def rows(source: WebSource, fetch: Fetch, waits: Waits | None = None) -> list[dict[str, Any]]:
    found = list(read(source, fetch, surroundings=(waits or Waits()).surroundings()))
    assert [number for number, _ in found] == list(range(1, len(found) + 1))
    assert all(row[ORIGIN] == {"url": row["url"]} for _, row in found)
    return [{name: value for name, value in row.items() if name != ORIGIN} for _, row in found]


def paths(rows: list[dict[str, Any]]) -> list[str]:
    return ["/" + row["url"].split("/", 3)[3] for row in rows]


def asked_pages(site: Site) -> list[str]:
    return [path for path in site.paths() if path != "/robots.txt"]


def test_a_page_becomes_a_row_with_its_text_title_and_date(fetch: Fetch):
    dated = page("bread").replace(
        "<head>", '<head><meta property="article:published_time" content="2024-05-06T07:08:09Z">'
    )
    with Site(
        serve(
            {
                "/a": dated,
                "/b": Sent("\r\n".join(story("ships")).encode(), 200, {"content-type": "text/plain"}),
            }
        )
    ) as site:
        assert rows(source(site, "/a", "/b"), fetch) == [
            {
                "url": f"{site.url}/a",
                "title": "About bread",
                "text": "\n".join(story("bread")),
                "date": "2024-05-06",
            },
            {"url": f"{site.url}/b", "title": None, "text": "\n".join(story("ships")), "date": None},
        ]
        assert fetch.notes == {
            "urls": f"{site.url}/a {site.url}/b",
            "sitemaps": None,
            "keywords": None,
            "pages": 2,
            "from_cache": 0,
            "requests": 3,
            "bytes": fetch.notes["bytes"],
            "skipped": None,
            "failed": 0,
            "failures": None,
            "stopped": None,
        }


def test_links_are_followed_breadth_first_on_the_same_host_and_no_page_is_read_twice(fetch: Fetch):
    with Site(serve({"/": page("music")})) as other:
        pages: dict[str, str | Sent] = {
            "/": page(
                "bread",
                f'<a href="/b#x">1</a><a href="c">2</a><a href="{other.url}/">3</a><a href="/b">4</a>',
            ),
            "/b": page(
                "ships", '<a href="/d">1</a><a href="/">2</a><a href="mailto:x@y">3</a><a href="/x.pdf">4</a>'
            ),
            "/c": page("stars", '<a rel="nofollow" href="/secret">1</a><a href="http://[bad">2</a>'),
            "/d": page("trees", '<a href="/too-far">1</a>'),
        }
        with Site(serve(pages)) as site:
            hosts = [site.host, other.host]
            found = rows(source(site, "/", follow_links=2, private_hosts=hosts), fetch)
        assert other.asked == []
    assert paths(found) == ["/", "/b", "/c", "/d"]
    assert site.paths() == ["/robots.txt", "/", "/b", "/c", "/d"]


def test_a_link_that_leads_to_another_host_is_not_followed_there(fetch: Fetch):
    with Site(serve({"/x": page("ships")})) as other:
        moved = Sent(status=302, headers={"location": f"{other.url}/x"})
        pages: dict[str, str | Sent] = {
            "/": page("bread", '<a href="/out">1</a>'),
            "/out": moved,
            "/given": moved,
        }
        with Site(serve(pages)) as site:
            hosts = [site.host, other.host]
            assert paths(rows(source(site, "/", follow_links=1, private_hosts=hosts), fetch)) == ["/"]
            assert fetch.notes["skipped"] == "1 redirected to another host"
            assert paths(rows(source(site, "/given", private_hosts=hosts), fetch)) == ["/x"]


def test_max_pages_and_max_rows_end_the_scrape(fetch: Fetch, tmp_path: Path):
    pages: dict[str, str | Sent] = {f"/{subject}": page(subject) for subject in WORDS}
    with Site(serve(pages)) as site:
        assert paths(rows(source(site, *pages, max_pages=2), fetch)) == ["/bread", "/ships"]
        assert fetch.notes["stopped"] == "max_pages 2"
        assert len(rows(source(site, *pages, max_rows=3), Fetch(tmp_path / "b"))) == 3
    assert asked_pages(site) == ["/bread", "/ships", "/bread", "/ships", "/stars"]


def test_a_preview_fetches_no_more_than_it_shows_and_stores_nothing(tmp_path: Path):
    pages: dict[str, str | Sent] = {f"/{subject}": page(subject) for subject in WORDS}
    with Site(serve(pages)) as site:
        preview = read(
            source(site, *pages), Fetch(tmp_path, preview=True), surroundings=Waits().surroundings()
        )
        assert [row["title"] for _, row in itertools.islice(preview, 2)] == ["About bread", "About ships"]
        preview.close()  # type: ignore[attr-defined]
    assert asked_pages(site) == ["/bread", "/ships"]
    assert list(tmp_path.iterdir()) == []


def sitemap(*locations: str, index: bool = False) -> bytes:
    outer, inner = ("sitemapindex", "sitemap") if index else ("urlset", "url")
    inside = "".join(f"<{inner}><loc> {url} </loc><lastmod>2024</lastmod></{inner}>" for url in locations)
    return f'<?xml version="1.0"?><{outer} xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{inside}</{outer}>'.encode()


def test_a_site_is_read_by_the_sitemaps_of_its_robots_txt_also_indexes_and_gzipped_ones(fetch: Fetch):
    pages: dict[str, str | Sent] = {f"/{subject}": page(subject) for subject in WORDS}

    def answer(asked: Asked) -> Sent:
        files = {
            "/robots.txt": f"Sitemap: {site.url}/index.xml\nSitemap: {site.url}/missing.xml".encode(),
            "/index.xml": sitemap(
                f"{site.url}/one.xml", f"{site.url}/two.xml.gz", f"{site.url}/index.xml", index=True
            ),
            "/one.xml": sitemap(f"{site.url}/bread", f"{site.url}/ships"),
            "/two.xml.gz": gzip.compress(sitemap(f"{site.url}/ships", f"{site.url}/stars")),
        }
        return Sent(files[asked.path]) if asked.path in files else serve(pages)(asked)

    with Site(answer) as site:
        found = rows(source(site, sitemaps=[site.url]), fetch)
    assert paths(found) == ["/bread", "/ships", "/stars"]
    assert fetch.notes["failures"] == f"{site.url}/missing.xml answered with status 404."


def test_a_site_without_sitemap_lines_is_looked_at_under_sitemap_xml(fetch: Fetch):
    def answer(asked: Asked) -> Sent:
        if asked.path == "/sitemap.xml":
            return Sent(sitemap(f"{site.url}/bread"))
        return serve({"/bread": page("bread")}, Sent(b"", 404))(asked)

    with Site(answer) as site:
        assert paths(rows(source(site, sitemaps=[f"{site.url}/"]), fetch)) == ["/bread"]
    assert site.paths() == ["/robots.txt", "/sitemap.xml", "/bread"]


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (sitemap("https://h/a", "https://h/b&amp;c"), ([], ["https://h/a", "https://h/b&c"])),
        (b"https://h/a\n# no\nhttps://h/b\n", ([], ["https://h/a", "https://h/b"])),
        (b"<rss><channel><item><link>https://h/a</link></item></channel></rss>", ([], ["https://h/a"])),
        (
            b'<feed xmlns="http://www.w3.org/2005/Atom"><entry><link href="https://h/a"/></entry></feed>',
            ([], ["https://h/a"]),
        ),
        (b"<!doctype html><html><body>404</body></html>", None),
        (b"nothing of the kind", None),
        (b"", None),
        (b"\x1f\x8bbroken", None),
        (b"<urlset><url><loc>https://h/a</loc></url><url><lo", ([], ["https://h/a"])),
    ],
)
def test_sitemaps_are_read_in_every_form(body: bytes, found: Any):
    assert read_sitemap(body, 1_000_000) == found


def test_a_sitemap_expands_no_entities_and_unpacks_no_bomb():
    laughs = b'<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY f SYSTEM "file:///etc/passwd">]><urlset><url><loc>&a;&f;</loc></url></urlset>'
    assert read_sitemap(laughs, 1_000_000) == ([], [])
    bomb = gzip.compress(b"https://h/a\n" + bytes(50_000_000))
    assert read_sitemap(bomb, 1_000) == ([], ["https://h/a"])


def test_what_robots_txt_forbids_is_neither_asked_for_nor_an_error(fetch: Fetch):
    robots = "User-agent: nlp-skills\nDisallow: /private\nAllow: /private/but\n\nUser-agent: *\nDisallow: /"
    pages: dict[str, str | Sent] = {
        "/bread": page("bread"),
        "/private/x": page("ships"),
        "/private/but": page("stars"),
    }
    with Site(serve(pages, robots)) as site:
        assert paths(rows(source(site, *pages), fetch)) == ["/bread", "/private/but"]
    assert asked_pages(site) == ["/bread", "/private/but"]
    assert fetch.notes["skipped"] == "1 forbidden by robots.txt"
    assert fetch.notes["failed"] == 0


def test_robots_txt_counts_for_where_a_redirect_leads_too(fetch: Fetch):
    moved = Sent(status=301, headers={"location": "/private"})
    with Site(
        serve(
            {"/a": moved, "/private": page("bread"), "/b": page("ships")}, "User-agent: *\nDisallow: /private"
        )
    ) as site:
        assert paths(rows(source(site, "/a", "/b"), fetch)) == ["/b"]
    assert asked_pages(site) == ["/a", "/b"]


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_robots_txt_that_is_not_there_allows_everything(status: int, fetch: Fetch):
    with Site(serve({"/a": page("bread")}, Sent(b"User-agent: *\nDisallow: /", status))) as site:
        assert paths(rows(source(site, "/a"), fetch)) == ["/a"]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_robots_txt_that_cannot_be_had_forbids_everything(status: int, fetch: Fetch):
    with Site(serve({"/a": page("bread")}, Sent(b"", status))) as site:
        with pytest.raises(
            RequestFailed,
            match=rf"no page could be fetched\. .*/robots\.txt could not be fetched in 3 attempts: it answered with status {status}",
        ):
            rows(source(site, "/a"), fetch)
    assert asked_pages(site) == []


def test_only_the_start_of_an_endless_robots_txt_is_read(fetch: Fetch):
    lines = itertools.chain([b"User-agent: *\nDisallow: /no\n"], itertools.repeat(b"# filling\n" * 1000))
    with Site(serve({"/a": page("bread"), "/no": page("ships")}, Sent(lines))) as site:
        assert paths(rows(source(site, "/a", "/no"), fetch)) == ["/a"]


@pytest.mark.parametrize(
    ("robots", "seconds", "waited"),
    [
        ("", 2.0, [2.0, 2.0]),
        ("", 0.0, []),
        ("User-agent: *\nCrawl-delay: 5", 2.0, [2.0, 5.0]),
        ("User-agent: *\nCrawl-delay: 1", 2.0, [2.0, 2.0]),
        ("User-agent: *\nRequest-rate: 1/7s", 2.0, [2.0, 7.0]),
    ],
)
def test_a_host_is_asked_at_the_slower_of_both_paces(
    robots: str, seconds: float, waited: list[float], fetch: Fetch
):
    waits = Waits()
    with Site(serve({"/a": page("bread"), "/b": page("ships")}, robots)) as site:
        rows(source(site, "/a", "/b", seconds_between_requests=seconds), fetch, waits)
    assert waits.seconds == waited


def test_two_hosts_do_not_wait_for_each_other(fetch: Fetch):
    waits = Waits()
    with Site(serve({"/a": page("bread")})) as one, Site(serve({"/b": page("ships")})) as two:
        both = WebSource(
            name="news",
            urls=[f"{one.url}/a", f"{two.url}/b"],
            min_characters=100,
            private_hosts=["127.0.0.1"],
        )
        assert len(rows(both, fetch, waits)) == 2
    assert waits.seconds == [1.0, 1.0]  # of each between its robots.txt and its page


def test_other_content_types_are_skipped_unread_and_counted(fetch: Fetch):
    endless = Sent(itertools.repeat(bytes(65_536)), headers={"content-type": "video/mp4"})
    unnamed = Sent(page("ships").encode())
    with Site(
        serve({"/film": endless, "/a": page("bread"), "/unnamed": unnamed, "/bytes": Sent(b"\x00\x01")})
    ) as site:
        assert paths(rows(source(site, "/film", "/a", "/unnamed", "/bytes"), fetch)) == ["/a", "/unnamed"]
    assert fetch.notes["skipped"] == "1 of type application/octet-stream; 1 of type video/mp4"
    assert int(fetch.notes["bytes"] or 0) < 10_000


def test_a_page_that_fails_is_named_and_the_others_are_read(fetch: Fetch):
    moved = Sent(status=302, headers={"location": "http://169.254.169.254/latest/"})
    huge = Sent(itertools.repeat(b"<p>" * 10_000), headers={"content-type": "text/html"})
    pages: dict[str, str | Sent] = {"/moved": moved, "/huge": huge, "/a": page("bread")}
    with Site(serve(pages)) as site:
        found = rows(source(site, "/gone?key=", "/moved", "/huge", "/a", max_bytes=100_000), fetch)
    assert paths(found) == ["/a"]
    assert fetch.notes["failed"] == 3
    assert f"{site.url}/gone?key= answered with status 404." in str(fetch.notes["failures"])
    assert "169.254.169.254, which is link-local" in str(fetch.notes["failures"])
    assert f"{site.url}/huge answered with more than 100,000 bytes" in str(fetch.notes["failures"])


def test_a_scrape_that_could_fetch_nothing_is_an_error_that_names_why(fetch: Fetch):
    with Site(serve({})) as site:
        with pytest.raises(RequestFailed) as failed:
            rows(source(site, "/a", "/b"), fetch)
    assert str(failed.value) == (
        f"Source news: no page could be fetched. {site.url}/a answered with status 404."
        f" {site.url}/b answered with status 404."
    )


def test_a_private_address_that_is_not_named_is_an_error_that_says_how(fetch: Fetch):
    with Site(serve({"/a": page("bread")})) as site:
        with pytest.raises(RequestFailed, match=rf"private_hosts: \[127\.0\.0\.1:{site.port}\]"):
            rows(source(site, "/a", private_hosts=[]), fetch)
    assert site.asked == []


def test_a_scrape_that_leaves_nothing_is_an_error_that_counts_why(fetch: Fetch):
    with Site(serve({"/a": page("bread"), "/b": "<html><body><p>short</p></body></html>"})) as site:
        with pytest.raises(NotValid, match=r"of 2 pages none is left \(1 too short, 1 without keyword\)"):
            rows(source(site, "/a", "/b", keywords=["volcano"]), fetch)


def test_a_source_without_pages_is_refused(fetch: Fetch):
    with pytest.raises(NotValid, match="names no page"):
        rows(WebSource(name="news"), fetch)


CHARSETS = {
    "windows-1251": "Пекарь оставляет тесто на ночь в прохладной комнате и складывает его дважды до рассвета. "
    * 3,
    "Shift_JIS": "パン職人は生地を一晩涼しい部屋で休ませ、夜明け前に二度折りたたみます。港では二隻の貨物船が正午に出発しました。"
    * 3,
    "Big5": "麵包師傅讓麵團在涼爽的房間裡休息一夜，天亮前摺疊兩次。中午有兩艘貨輪滿載穀物離開港口，駛向遠方的島嶼。"
    * 3,
    "EUC-KR": "제빵사는 반죽을 서늘한 방에서 하룻밤 쉬게 하고 새벽이 되기 전에 두 번 접는다. 정오에 화물선 두 척이 항구를 떠났다."
    * 3,
    "utf-8": "Bäcker lassen den Teig über Nacht in einem kühlen Raum ruhen und falten ihn zweimal vor der Dämmerung. "
    * 3,
}


@pytest.mark.parametrize("charset", CHARSETS)
@pytest.mark.parametrize("place", ["header", "meta", "http-equiv", "nowhere"])
def test_the_charset_is_taken_from_the_header_the_page_or_the_bytes(charset: str, place: str, fetch: Fetch):
    text = CHARSETS[charset]
    declared = {
        "meta": f'<meta charset="{charset}">',
        "http-equiv": f'<meta http-equiv="Content-Type" content="text/html; charset={charset}">',
    }.get(place, "")
    html = f"<html><head>{declared}<title>{text[:8]}</title></head><body><article><p>{text}</p></article></body></html>"
    kind = f"text/html; charset={charset}" if place == "header" else "text/html"
    with Site(serve({"/a": Sent(html.encode(charset), headers={"content-type": kind})})) as site:
        (row,) = rows(source(site, "/a", min_characters=50), fetch)
    assert (row["text"], row["title"]) == (text.strip(), text[:8].strip())


@pytest.mark.parametrize(
    ("body", "content_type", "text"),
    [
        ("naïve “x”".encode("cp1252"), "text/html; charset=iso-8859-1", "naïve “x”"),
        ("中文".encode("gb18030"), "text/html; charset=gb2312", "中文"),
        ("\ufeffé".encode(), "text/html; charset=iso-8859-1", "é"),
        ("é".encode("utf-16"), "text/html", "é"),
        (
            "Bäcker, Öfen, Übung: é ñ ø".encode(),
            "text/html; charset=ISO-8859-1",
            "Bäcker, Öfen, Übung: é ñ ø",
        ),
        ("é".encode("cp1252"), "text/html; charset=ascii", "é"),
        ("é".encode(), "text/html; charset=no-such", "é"),
        ("é".encode(), "text/html; charset=base64", "é"),
        (b'<meta charset="utf-16">abc', "", '<meta charset="utf-16">abc'),
        (b"a\xff", "text/html; charset=utf-8", "a\N{REPLACEMENT CHARACTER}"),
        (b"", "", ""),
    ],
)
def test_a_charset_that_does_not_fit_is_not_believed(body: bytes, content_type: str, text: str):
    assert decode_page(body, content_type) == text


@pytest.mark.parametrize(
    ("folder", "named", "codec"),
    [
        ("Big5", "big5", "big5hkscs"),
        ("EUC-KR", "euc-kr", "cp949"),
        ("GB2312", "gb2312", "gb18030"),
        ("SHIFT_JIS", "shift_jis", "cp932"),
        ("windows-1251-russian", "windows-1251", "cp1251"),
    ],
)
def test_real_feeds_are_read_with_and_without_their_charset(
    shared_data: Path, folder: str, named: str, codec: str
):
    files = sorted((shared_data / "awkward" / "encodings" / folder).iterdir())
    assert len(files) == 5
    for file in files:
        body = file.read_bytes()
        assert decode_page(body, f"text/html; charset={named}") == body.decode(codec)
        assert decode_page(body, "text/html") == body.decode(codec)


@given(st.binary(max_size=300), st.text(max_size=40))
def test_any_bytes_are_decoded_without_an_error(body: bytes, charset: str):
    assert isinstance(decode_page(body, f"text/html; charset={charset}"), str)


@pytest.mark.parametrize(
    ("keyword", "text", "stands"),
    [
        ("art", "The ART of baking", True),
        ("art", "Start here, partly", False),
        ("machine learning", "About Machine\n Learning.", True),
        ("學習", "機器學習入門", True),
        ("GPU", "用GPU訓練", True),
        ("ＧＰＵ", "a gpu", True),
        ("straße", "STRASSE 7", True),
        ("c++", "in C++, say", True),
        ("café", "cafés", False),
        ("パン", "フライパンで", True),
    ],
)
def test_keywords_stand_at_word_boundaries_where_there_are_words(keyword: str, text: str, stands: bool):
    assert Keywords([keyword]).stand_in(text) is stands


def test_pages_without_a_keyword_are_left_out(fetch: Fetch):
    with Site(
        serve({"/a": page("bread"), "/b": page("ships"), "/c": page("stars", title="Baker street")})
    ) as site:
        assert paths(rows(source(site, "/a", "/b", "/c", keywords=["baker", "麵包"]), fetch)) == ["/a", "/c"]
    assert fetch.notes["without_keyword"] == 1


def test_pages_that_are_like_an_earlier_one_are_left_out(fetch: Fetch, tmp_path: Path):
    reprint = page("bread").replace("part three", "part 3")
    pages: dict[str, str | Sent] = {
        "/a": page("bread"),
        "/print": page("bread"),
        "/reprint": reprint,
        "/b": page("ships"),
    }
    with Site(serve(pages)) as site:
        assert paths(rows(source(site, *pages, near_duplicates=0.7), fetch)) == ["/a", "/b"]
        only_equal = source(site, *pages, near_duplicates=1)
        assert paths(rows(only_equal, Fetch(tmp_path / "b"))) == ["/a", "/reprint", "/b"]
    assert fetch.notes["like_an_earlier_page"] == 2


def test_lines_that_a_host_repeats_are_taken_from_the_ends_of_its_texts():
    lines = RepeatedLines()
    long = "Subscribe to our newsletter and get the best stories of the week, every Friday."
    texts = [f"Share\n{s}\nIngredients\n{long}\nmore about {s}\nAll rights reserved\n" for s in WORDS]
    for text in texts:
        lines.see("https://h", text)
    lines.see("https://other", texts[0])
    assert [lines.strip("https://h", text) for text in texts] == [
        f"{s}\nIngredients\nmore about {s}" for s in WORDS
    ]
    assert lines.strip("https://other", texts[0]) == texts[0]


@given(st.lists(st.text(max_size=60), max_size=12))
def test_taking_repeated_lines_only_ever_leaves_lines_out(texts: list[str]):
    lines = RepeatedLines()
    for text in texts:
        lines.see("h", text)
    for text in texts:
        left = iter(text.splitlines())
        assert all(line in left for line in lines.strip("h", text).splitlines())


def test_repeated_lines_are_gone_from_the_rows(fetch: Fetch):
    notice = (
        "<p>This story was first printed in the Harbour Gazette, and is shown here with thanks.</p></article>"
    )
    pages: dict[str, str | Sent] = {f"/{s}": page(s).replace("</article>", notice) for s in WORDS}
    with Site(serve(pages)) as site:
        found = rows(source(site, *pages), fetch)
    assert [row["text"] for row in found] == ["\n".join(story(subject)) for subject in WORDS]


def test_a_second_scrape_asks_only_for_what_has_changed_and_gives_the_same_rows(fetch: Fetch, tmp_path: Path):
    version = {"/a": 1, "/b": 1}

    def answer(asked: Asked) -> Sent:
        if asked.path == "/robots.txt":
            return Sent(b"", 404)
        tag = f'"{version[asked.path]}"'
        if asked.headers.get("if-none-match") == tag:
            return Sent(status=304)
        subject = "bread" if asked.path == "/a" else ("ships" if version["/b"] == 1 else "stars")
        return as_html(page(subject), etag=tag)

    with Site(answer) as site:
        first = rows(source(site, "/a", "/b"), fetch)
        again = Fetch(tmp_path)
        assert rows(source(site, "/a", "/b"), again) == first
        version["/b"] = 2
        changed = rows(source(site, "/a", "/b"), Fetch(tmp_path))
    assert (again.notes["from_cache"], again.notes["requests"]) == (2, 3)
    assert [row["title"] for row in changed] == ["About bread", "About stars"]


class Killed(BaseException):
    """Stands for the end of the process: nothing in the library catches it."""


@pytest.mark.parametrize("after", [1, 3, 5])
def test_a_scrape_that_was_killed_goes_on_where_it_was(after: int, tmp_path: Path):
    pages: dict[str, str | Sent] = {f"/{s}": page(s) for s in WORDS}
    with Site(serve(pages)) as site:
        undisturbed = rows(source(site, *pages), Fetch(tmp_path / "undisturbed"))
        site.asked.clear()
        seen: list[str] = []

        def kill(message: str, _done: float, _total: float | None) -> None:
            seen.append(message)
            if len(seen) == after:
                raise Killed

        with pytest.raises(Killed):
            rows(source(site, *pages), Fetch(tmp_path, progress=kill))
        assert rows(source(site, *pages), Fetch(tmp_path)) == undisturbed
    assert asked_pages(site) == [f"/{subject}" for subject in WORDS]


SCRAPE = """
import sys
from pathlib import Path
from nlp_skills.data.sources.fetch import Fetch
from nlp_skills.data.sources.source import WebSource
from nlp_skills.data.sources.web_scrape import read
list(read(WebSource.load(Path(sys.argv[1]) / "source.yaml"), Fetch(Path(sys.argv[1]))))
"""


def test_a_process_that_is_killed_while_it_fetches_loses_only_that_page(tmp_path: Path):
    pages: dict[str, str | Sent] = {f"/{s}": page(s) for s in WORDS}
    third, killed = threading.Event(), threading.Event()

    def answer(asked: Asked) -> Sent:
        if asked.path == "/stars" and not third.is_set():
            third.set()
            killed.wait()
        return serve(pages)(asked)

    with Site(answer) as site:
        asked_for = source(site, *pages, seconds_between_requests=0)
        asked_for.save(tmp_path / "source.yaml")
        with subprocess.Popen([sys.executable, "-c", SCRAPE, str(tmp_path)]) as process:
            assert third.wait(60)
            process.kill()
        killed.set()
        site.asked.clear()
        assert len(rows(asked_for, Fetch(tmp_path))) == len(pages)
    assert asked_pages(site) == ["/stars", "/trees", "/taxes", "/music"]


def test_a_scrape_whose_time_is_over_says_that_it_can_go_on(tmp_path: Path):
    pages: dict[str, str | Sent] = {f"/{s}": page(s) for s in WORDS}
    with Site(serve(pages, "User-agent: *\nCrawl-delay: 100")) as site:
        with pytest.raises(OutOfTime, match="The 1 page fetched so far are kept: run it again to go on"):
            rows(source(site, *pages, max_seconds=60), Fetch(tmp_path))
    assert asked_pages(site) == ["/bread"]


def test_what_a_finished_scrape_did_not_see_is_dropped_from_the_cache(fetch: Fetch, tmp_path: Path):
    with Site(serve({"/a": page("bread"), "/b": page("ships")})) as site:
        rows(source(site, "/a", "/b"), fetch)
        rows(source(site, "/b"), Fetch(tmp_path))
    assert len(list(fetch.cache("news").glob("*.json.gz"))) == 1


def test_a_secret_in_a_url_is_never_shown_or_kept(
    fetch: Fetch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("READER_KEY", "reader/key+4711")
    seen: list[str] = []

    def answer(asked: Asked) -> Sent:
        if asked.path == "/robots.txt":
            return Sent(b"")
        assert asked.query["k"] == "reader/key+4711"
        if asked.path == "/b":
            return Sent(b"", 404)
        return as_html(page("bread").replace("part two", f"part two for {asked.query['k']}"))

    with Site(answer) as site:
        urls = [f"{site.url}/a?k=${{READER_KEY}}", f"{site.url}/b?k=${{READER_KEY}}"]
        fetch.progress = lambda message, *_: seen.append(message)
        (row,) = rows(source(site, urls=urls), fetch)
    assert row["url"] == f"{site.url}/a?k=${{READER_KEY}}"
    assert "part two for ${READER_KEY}" in row["text"]
    kept = b"".join(gzip.decompress(path.read_bytes()) for path in fetch.cache("news").glob("*.gz"))
    for spelling in ("reader/key+4711", "reader%2Fkey%2B4711"):
        assert spelling not in repr([row, fetch.notes, seen, kept, list(tmp_path.rglob("*"))])


@pytest.mark.parametrize(
    ("html", "links"),
    [
        (
            '<a href="b">x</a><a href="?q=1">y</a><a href="#top">z</a>',
            ["https://h/d/b", "https://h/d/a?q=1", "https://h/d/a"],
        ),
        ('<base href="/e/"><a href="b">x</a>', ["https://h/e/b"]),
        (
            '<a href="https://H:443/x">1</a><a href="http://h/y">2</a><a href="//h/z">3</a>',
            ["https://h/x", "https://h/z"],
        ),
        ('<?xml version="1.0" encoding="utf-8"?><html><a href="é">x</a></html>', ["https://h/d/%C3%A9"]),
        ("", []),
        ("   ", []),
        ("\x00", []),
    ],
)
def test_links_are_read_as_a_browser_does(html: str, links: list[str]):
    assert links_of(html, "https://h/d/a") == links


@given(st.text(max_size=60))
def test_a_normal_url_stays_as_it_is(text: str):
    url = normal_url(f"https://h.example/{text}")
    assert url is None or normal_url(url) == url


def test_a_page_without_text_has_no_article():
    assert extract_article("<html><body></body></html>", "https://h/") is None
    assert extract_article("", "https://h/") is None


def test_the_main_text_of_the_benchmark_pages_is_found_as_well_as_is_claimed(shared_data: Path):
    """Mean precision and recall over 4-word shingles, as in the data sets' README; docs/benchmarks.md has the table."""
    benchmark = runpy.run_path(str(REPOSITORY / "benchmarks" / "extraction.py"))
    pages = benchmark["load_pages"](shared_data / "html" / "article_benchmark")
    score = benchmark["score"](pages, [benchmark["ours"](page) for page in pages])
    assert len(pages) == 54
    assert score["F1"] >= 0.96
