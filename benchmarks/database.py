"""How fast and in how much memory a database source reads, beside psycopg's bare server-side cursor.

    uv run --all-extras python benchmarks/database.py [--rows 500000] [--repeat 3]

A PostgreSQL server is started for it (as the tests do) and filled with rows of about 460 bytes. Each reading
is a process of its own; what it takes includes connecting, not starting Python. The figures are medians.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TypeAlias

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from postgresql import NOT_INSTALLED, running_server, server_programs  # pyright: ignore[reportMissingImports]

Figures: TypeAlias = tuple[float, float, float]
QUERY = "SELECT * FROM reviews"
FILL = (
    "CREATE TABLE reviews AS SELECT n AS id, repeat(md5(n::text), 4) AS title, repeat(md5((-n)::text), 10) AS body,"
    " (ARRAY['good', 'bad'])[1 + n % 2] AS label FROM generate_series(1, {rows}) n"
)
MEASURE = """
import os, sys, time
from pathlib import Path
{imports}
def peak():
    status = Path("/proc/self/status")
    if status.is_file():  # elsewhere the peak is the parent's where that is higher
        return int(status.read_text(encoding="utf-8").partition("VmHWM:")[2].split()[0]) / 1024
    import resource
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)
started = time.perf_counter()
count = 0
{read}
seconds = time.perf_counter() - started
print(count, seconds, peak())
"""
BARE = (
    "import psycopg",
    """
with psycopg.connect(os.environ["DATABASE_URL"].replace("+psycopg", "")) as connection:
    with connection.cursor(name="bare") as cursor:
        cursor.itersize = 1000
        cursor.execute(sys.argv[1])
        for row in cursor:
            count += 1
""",
)
BARE_DICTS = (
    BARE[0] + "\nfrom psycopg.rows import dict_row",
    BARE[1].replace('name="bare"', 'name="bare", row_factory=dict_row'),
)
SOURCE = (
    "from nlp_skills.data.sources.database import read\n"
    "from nlp_skills.data.sources.fetch import Fetch\n"
    "from nlp_skills.data.sources.source import DatabaseSource\n"
    "import sqlalchemy, psycopg",
    """
source = DatabaseSource(name="reviews", connection="${DATABASE_URL}", query=sys.argv[1])
for row in read(source, Fetch(Path.cwd())):
    count += 1
""",
)
READERS = {
    "psycopg, server-side cursor, tuples": BARE,
    "psycopg, server-side cursor, dicts": BARE_DICTS,
    "database source": SOURCE,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--repeat", type=int, default=3)
    choice = parser.parse_args()
    programs = server_programs()
    if programs is None:
        sys.exit(NOT_INSTALLED)
    with running_server(programs) as server, tempfile.TemporaryDirectory() as folder:
        url = f"{server}/postgres"
        fill(url, choice.rows)
        runs = [
            {name: measure(url, reader, folder) for name, reader in READERS.items()}
            for _ in range(choice.repeat)
        ]  # in turns: another load on the machine meets all of them
        print_table(choice.rows, {name: medians([run[name] for run in runs]) for name in READERS})


def fill(url: str, rows: int) -> None:
    import psycopg

    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(FILL.format(rows=rows).encode())
        connection.execute(b"VACUUM ANALYZE reviews")


def measure(url: str, reader: tuple[str, str], folder: str) -> Figures:
    """Rows per second, seconds and the peak of memory in MB."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE.replace("{imports}", reader[0]).replace("{read}", reader[1]), QUERY],
        env={**os.environ, "DATABASE_URL": url},
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    count, seconds, peak = map(float, done.stdout.split())
    return count / seconds, seconds, peak


def medians(runs: list[Figures]) -> Figures:
    rates, seconds, peaks = zip(*runs, strict=True)
    return statistics.median(rates), statistics.median(seconds), statistics.median(peaks)


def print_table(rows: int, figures: dict[str, Figures]) -> None:
    first = next(iter(figures.values()))[1]
    print(f"{rows:,} rows\n")
    print("| reader | rows/s | seconds | times the first | peak MB |")
    print("|---|---|---|---|---|")
    for name, (rate, seconds, peak) in figures.items():
        print(f"| {name} | {rate:,.0f} | {seconds:.2f} | {seconds / first:.1f} | {peak:.0f} |")


if __name__ == "__main__":
    main()
