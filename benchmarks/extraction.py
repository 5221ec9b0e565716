"""How well the main text of web pages is found: ours beside trafilatura alone, readability and jusText.

    uv run --all-extras python benchmarks/extraction.py [--repeat 3]

The pages and their gold text are html/article_benchmark of the shared data sets (NLP_SKILLS_TEST_DATA): 54 pages of
scrapinghub/article-extraction-benchmark. The measure is that benchmark's: precision and recall over the 4-word
shingles of each page, both averaged over the pages, and their F1. Peers run in environments of their own, one process
after the other on one thread; the first pass is not timed. CPU time, so that a busy machine changes little; ours also
reads title and date.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("NLP_SKILLS_TEST_DATA") or REPOSITORY.parent / "shared" / "data")
PAGES = SHARED / "html" / "article_benchmark"

# Each defines text(html): as its documentation shows it.
PEERS = {
    "trafilatura alone": (
        ["trafilatura"],
        "import trafilatura\ntext = lambda html: trafilatura.extract(html) or ''",
    ),
    "trafilatura, no comments": (
        ["trafilatura"],
        "import trafilatura\ntext = lambda html: trafilatura.extract(html, include_comments=False) or ''",
    ),
    "readability-lxml": (
        ["readability-lxml"],
        "from readability import Document\nfrom lxml.html import fromstring\n"
        "text = lambda html: fromstring(Document(html).summary()).text_content()",
    ),
    "jusText": (
        ["justext"],
        "import justext\nwords = justext.get_stoplist('English')\n"
        "text = lambda html: '\\n'.join(p.text for p in justext.justext(html.encode(), words) if not p.is_boilerplate)",
    ),
}
TIMED = """
import json, sys, time
pages = json.load(open(sys.argv[1], encoding="utf-8"))
texts = [text(html) for html in pages]
times = []
for _ in range(int(sys.argv[2])):
    started = time.process_time()
    for html in pages:
        text(html)
    times.append(time.process_time() - started)
json.dump([texts, min(times)], open(sys.argv[3], "w", encoding="utf-8"))
"""


@dataclass(frozen=True)
class GoldPage:
    """A page of the benchmark and what it says."""

    html: str
    url: str
    gold: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3, help="timed passes; the fastest counts")
    repeat = parser.parse_args().repeat
    if not PAGES.is_dir():
        sys.exit(
            f"The benchmark pages are not at {PAGES}. Set NLP_SKILLS_TEST_DATA to the folder of the data sets."
        )
    pages = load_pages(PAGES)
    print("| extractor | precision | recall | F1 | pages per CPU second |")
    print("|---|---|---|---|---|")
    report("ours", pages, *measure(repeat, pages))
    for name, (packages, code) in PEERS.items():
        report(name, pages, *run_peer(packages, code, pages, repeat))


def load_pages(folder: Path) -> list[GoldPage]:
    """The pages with their gold text, by id."""
    gold = json.loads((folder / "ground-truth.json").read_text(encoding="utf-8"))
    return [
        GoldPage(
            gzip.decompress((folder / "html" / f"{name}.html.gz").read_bytes()).decode("utf-8"),
            entry["url"],
            entry["articleBody"],
        )
        for name, entry in sorted(gold.items())
    ]


def ours(page: GoldPage) -> str:
    """The text as the web_scrape source takes it from a page."""
    from nlp_skills.data.sources.web.article import extract_article

    article = extract_article(page.html, page.url)
    return article.text if article else ""


def measure(repeat: int, pages: list[GoldPage]) -> tuple[list[str], float]:
    texts = [ours(page) for page in pages]
    times = []
    for _ in range(repeat):
        started = time.process_time()
        for page in pages:
            ours(page)
        times.append(time.process_time() - started)
    return texts, min(times)


def run_peer(packages: list[str], code: str, pages: list[GoldPage], repeat: int) -> tuple[list[str], float]:
    with tempfile.TemporaryDirectory() as folder:
        given, got = Path(folder) / "pages.json", Path(folder) / "texts.json"
        given.write_text(json.dumps([page.html for page in pages]), encoding="utf-8")
        wanted = [part for package in packages for part in ("--with", package)]
        command = [
            "uv",
            "run",
            "--no-project",
            "--python",
            "3.11",
            *wanted,
            "python",
            "-c",
            f"{code}\n{TIMED}",
        ]
        subprocess.run([*command, str(given), str(repeat), str(got)], check=True, stderr=subprocess.DEVNULL)
        texts, seconds = json.loads(got.read_text(encoding="utf-8"))
    return texts, seconds


def score(pages: list[GoldPage], texts: list[str]) -> dict[str, float]:
    """Mean precision, mean recall, and the F1 of the two."""
    pairs = [precision_recall(page.gold, text) for page, text in zip(pages, texts, strict=True)]
    precision = sum(pair[0] for pair in pairs) / len(pairs)
    recall = sum(pair[1] for pair in pairs) / len(pairs)
    return {"precision": precision, "recall": recall, "F1": 2 * precision * recall / (precision + recall)}


def precision_recall(gold: str, found: str) -> tuple[float, float]:
    """Of a text's shingles against the gold ones, each as often as it stands there."""
    wanted, got = shingles(gold), shingles(found)
    both = (wanted & got).total()
    return (both / got.total() if got else 0.0), (both / wanted.total() if wanted else 1.0)


def shingles(text: str, size: int = 4) -> Counter[tuple[str, ...]]:
    """Every four words in a row; a shorter text is one shingle."""
    words = re.findall(r"\w+", text)
    return Counter(tuple(words[n : n + size]) for n in range(max(1, len(words) - size + 1)) if words)


def report(name: str, pages: list[GoldPage], texts: list[str], seconds: float) -> None:
    found = score(pages, texts)
    print(
        f"| {name} | {found['precision']:.3f} | {found['recall']:.3f} | {found['F1']:.3f} | {len(pages) / seconds:.0f} |",
        flush=True,
    )


if __name__ == "__main__":
    main()
