"""How long the list of predictions takes to be painted after a key press, with 10,000 rows, in headless Chromium.

    uv run --extra dev python benchmarks/report_page.py [--words 150]

Types words into the search of a report whose rows have this many words each, and prints for all keys the milliseconds from
the key press to the painted list, and the processor time that the page took for it (which other work on the machine does not
change). Needs Chromium.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests" / "evaluation"))

from headless_chromium import Browser, browser
from report_sample import LABELS, make_full_task, write_predictions

from nlp_skills.evaluation.report import write_report
from nlp_skills.evaluation.results import Prediction

ROWS = 10_000
TYPED = ("billing", "the", "row-99", "zqx", "a")

# After the next frame a message arrives as soon as that frame is painted; a timer would wait longer.
WATCH = """
window.painted = [];
document.addEventListener('keydown', event => requestAnimationFrame(() => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => painted.push(performance.now() - event.timeStamp);
    channel.port2.postMessage(0);
}), true);
document.getElementById('filter').focus();
document.getElementById('controls').scrollIntoView({ behavior: 'instant' });
"""
FRAMES = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
EMPTY = "document.getElementById('filter').value = ''; document.getElementById('filter').dispatchEvent(new Event('input'))"


def make_rows(words: int) -> list[Prediction]:
    """Rows of random words, four in five of them right."""
    chance = random.Random(13)
    known = [
        "".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(2, 9))) for _ in range(5000)
    ]
    rows = []
    for number in range(ROWS):
        expected = chance.choice(LABELS)
        said = expected if chance.random() < 0.8 else chance.choice(LABELS)
        rows.append(
            Prediction(
                id=f"row-{number}",
                input=" ".join(chance.choices(known, k=words)),
                expected=expected,
                predicted=said,
                correct=expected == said,
                scores={said: chance.random()},
                slices={"language": chance.choice(["en", "ja", "zh-Hant"])},
            )
        )
    return rows


def processor_ms(started: Browser) -> float:
    """Processor time of the page's main thread so far."""
    metrics = started.send("Performance.getMetrics")["metrics"]
    return 1000 * next(m["value"] for m in metrics if m["name"] == "TaskDuration")


def measure(page: Path, profile: Path) -> tuple[list[float], list[float]]:
    """Milliseconds of each key: until its list was painted, and of processor time."""
    with browser(profile) as started:
        started.send("Performance.enable", timeDomain="threadTicks")
        begun = time.perf_counter()
        started.open(page)
        print(f"open                {1000 * (time.perf_counter() - begun):8.0f} ms")
        started.evaluate(WATCH)
        spent = []
        for word in TYPED:
            for character in word:
                before = processor_ms(started)
                started.type(character)
                started.evaluate(FRAMES)
                spent.append(processor_ms(started) - before)
            started.evaluate(EMPTY)
        return started.evaluate("painted"), spent


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--words", type=int, default=150, help="of each row")
    words = parser.parse_args().words
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        task = make_full_task(Path(folder))
        write_predictions(task, "v2", make_rows(words))
        begun = time.perf_counter()
        report = write_report(task, version="v2")
        print(
            f"write_report        {1000 * (time.perf_counter() - begun):8.0f} ms, {report.bytes / 1e6:.1f} MB"
        )
        for name, times in zip(
            ("key to painted list", "processor time"),
            measure(task / report.path, Path(folder) / "profile"),
            strict=True,
        ):
            print(
                f"{name:20s}{statistics.median(times):8.1f} ms median, {max(times):.1f} ms at most, {len(times)} keys"
            )


if __name__ == "__main__":
    main()
