"""The checks of validate_data beside a bare decode of the same lines, Great Expectations and pandera.

    uv run --all-extras python benchmarks/validation.py [--rows 1000000] [--rounds 3] [--close 20000] [--no-peers]

Writes seeded chat rows (300 bytes each; 2 % planted duplicates; --mixed: one to four questions a row) into a temporary
folder, three files as in a task. Each way runs in a process of its own, the clock starts after its imports:

    bare     msgspec's Decoder(Example).decode of every line, one process
    ours     every check of STRUCTURE (JSON, schema, blank turns, roles, duplicates, conflicts, labels, balance, order,
             leaks, SHA-256 of the files …), one process; a second thread hashes while the first one decodes
    peers    loading as their documentation shows it, then as many of these checks as they have for a data frame:
             column set, no missing id, known labels and roles, no blank turn, no row twice. They look for no conflicts,
             leaks, order, broken lines or duplicate keys. Installed by uv, in environments of their own.

Rounds are interleaved and the median is shown, so that other work on the machine hits all alike. Then, on --close rows,
the rate of each family that looks at single rows, on all cores, and of the tokens beside the bare tokenizer.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SPLITS = ("train", "valid", "test")
LABELS = ["account", "billing", "delivery", "other", "refund"]
ROLES = ["s", "u", "a"]
WORDS = (
    "the parcel order invoice arrived late never twice please help with my account card payment refund was and is to"
    " not for a of on in it that this we you they can could would again since yesterday morning support team answer"
).split()
PEERS = {
    "Great Expectations": ["great-expectations==1.24.1", "pandas<3"],
    "pandera": ["pandera[polars]==0.35.0"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--close", type=int, default=20_000)
    parser.add_argument("--mixed", action="store_true")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    choice = parser.parse_args()
    if choice.way:
        print(json.dumps(measure(choice.way, choice.folder)))
        return
    with tempfile.TemporaryDirectory() as folder:
        size = write_rows(Path(folder), choice.rows, mixed=choice.mixed)
        print(f"{choice.rows:,} rows, {size / 1e6:.0f} MB\n")
        compare(Path(folder), choice.rows, choice.rounds, () if choice.no_peers else tuple(PEERS))
    if choice.close:
        with tempfile.TemporaryDirectory() as folder:
            write_rows(Path(folder), choice.close, mixed=choice.mixed)
            close_looks(Path(folder), choice.close)


def write_rows(folder: Path, rows: int, *, mixed: bool) -> int:
    """train, valid and test with 90, 5 and 5 % of the rows; returns their bytes."""
    from nlp_skills.data.example import encode

    rng = random.Random(13)
    made, size = 0, 0
    for split, share in zip(SPLITS, (0.9, 0.05, 0.05), strict=True):
        kept: list[bytes] = []
        with (folder / f"{split}.jsonl").open("wb") as stream:
            for _ in range(round(rows * share)):
                if kept and rng.random() < 0.02:
                    line = rng.choice(kept)
                else:
                    line = encode(make_row(rng, made, mixed=mixed)) + b"\n"
                    made += 1
                    if len(kept) < 50_000:
                        kept.append(line)
                size += stream.write(line)
    return size


def make_row(rng: random.Random, number: int, *, mixed: bool) -> Any:
    from nlp_skills.data.example import Example, Message, Meta

    label = rng.choice(LABELS)
    said = [Message("system", "Sort the message by topic.")]
    for _ in range(rng.randint(0, 3) if mixed else 0):
        said.append(Message("user", " ".join(rng.choices(WORDS, k=rng.randint(3, 9)))))
        said.append(Message("assistant", " ".join(rng.choices(WORDS, k=rng.randint(3, 9)))))
    text = " ".join(rng.choices(WORDS, k=rng.randint(6, 22)))
    said += [Message("user", f"{text} {number}?"), Message("assistant", label)]
    meta = Meta(id=f"chat-{number}", source="chat", line=number + 1, label=label)
    return Example(meta=meta, messages=said)


def compare(folder: Path, rows: int, rounds: int, peers: tuple[str, ...]) -> None:
    """Run every way by turns and print the table; a peer runs once, it takes long enough."""
    results: dict[str, list[dict[str, float]]] = {}
    for number in range(rounds):
        for way in ("bare", "ours", *(peers if number == 0 else ())):
            results.setdefault(way, []).append(run_way(way, folder))
    median = {
        way: {name: statistics.median(run[name] for run in runs) for name in runs[0]}
        for way, runs in results.items()
    }
    bare, ours = median["bare"], median["ours"]
    print("| way | wall s | CPU s | peak MB | rows/s | x bare (wall) | x ours (wall) |")
    print("|---|---|---|---|---|---|---|")
    for way, found in median.items():
        print(
            f"| {way} | {found['wall']:.2f} | {found['cpu']:.2f} | {found['peak']:.0f} | {rows / found['wall']:,.0f} |"
            f" {found['wall'] / bare['wall']:.2f} | {found['wall'] / ours['wall']:.2f} |"
        )
    print(
        f"\nDuplicates found: { {way: int(found['found']) for way, found in median.items() if way != 'bare'} }"
    )


def run_way(way: str, folder: Path) -> dict[str, float]:
    asked = ["--way", way, "--folder", str(folder)]
    if way in PEERS:
        packages = [part for package in PEERS[way] for part in ("--with", package)]
        command = ["uv", "run", "--no-project", "--python", "3.11", *packages, "python", __file__, *asked]
    else:
        command = [sys.executable, __file__, *asked]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure(way: str, folder: Path) -> dict[str, float]:
    work = WAYS[way](folder)
    wall, cpu = time.perf_counter(), time.process_time()
    found = work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"wall": wall, "cpu": cpu, "peak": peak, "found": found}


def paths(folder: Path) -> list[Path]:
    return [folder / f"{split}.jsonl" for split in SPLITS]


def bare(folder: Path) -> Callable[[], int]:
    import msgspec

    from nlp_skills.data.example import Example

    decode = msgspec.json.Decoder(Example).decode

    def work() -> int:
        for path in paths(folder):
            with path.open("rb") as stream:
                for line in stream:
                    decode(line)
        return 0

    return work


def ours(folder: Path) -> Callable[[], int]:
    from nlp_skills.data.checks import STRUCTURE
    from nlp_skills.data.checks.reading import Reader

    context = make_context(folder)

    def work() -> int:
        reader = Reader(context.files, context.task)
        families = [make(context, reader) for make in STRUCTURE]
        for batch in reader.batches():
            for family in families:
                family.see(batch)
        findings = [finding for family in families for finding in family.findings()]
        return sum(finding.count for finding in findings if finding.check == "DATA-DUP")

    return work


def make_context(folder: Path) -> Any:
    from nlp_skills.data.checks.rows import Context
    from nlp_skills.task.task import Task

    value = {"name": "chat", "type": "classification", "goal": "Sort messages.", "language": "en"}
    task = Task.parse({**value, "labels": LABELS, "created": "now"}, "the benchmark")
    return Context(task, {f"data/{path.name}": path for path in paths(folder)}, today="2026-11-21T00:00:00Z")


def columns(meta: Any, messages: Any) -> tuple[Any, ...]:
    """A row for a data frame: id, source, label, roles, the shortest turn, input, answer."""
    return (
        meta["id"],
        meta["source"],
        meta["label"],
        "".join(turn["role"][0] for turn in messages),
        min(len(turn["content"].strip()) for turn in messages),
        "\n".join(turn["content"] for turn in messages[:-1]),
        messages[-1]["content"],
    )


NAMES = ["id", "source", "label", "roles", "shortest", "input", "answer"]
ORDERS = ["s" + "ua" * turns for turns in range(1, 5)]


def great_expectations(folder: Path) -> Callable[[], int]:
    import great_expectations as gx
    import pandas as pd

    def check(path: Path) -> int:
        rows = pd.read_json(path, lines=True)
        frame = pd.DataFrame(map(columns, rows["meta"], rows["messages"]), columns=NAMES)
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False}
        asset = context.data_sources.add_pandas("rows").add_dataframe_asset("rows")
        batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
        expect = gx.expectations
        suite = gx.ExpectationSuite(
            "structure",
            expectations=[
                expect.ExpectTableColumnsToMatchSet(column_set=NAMES),
                expect.ExpectColumnValuesToNotBeNull(column="id"),
                expect.ExpectColumnValuesToBeInSet(column="source", value_set=["chat"]),
                expect.ExpectColumnValuesToBeInSet(column="label", value_set=LABELS),
                expect.ExpectColumnValuesToBeInSet(column="roles", value_set=ORDERS),
                expect.ExpectColumnValuesToBeBetween(column="shortest", min_value=1),
                expect.ExpectCompoundColumnsToBeUnique(column_list=["input", "answer"]),
            ],
        )
        results = {found.expectation_config.type: found for found in batch.validate(suite).results}
        # It counts every row of a set of equal ones, also the first.
        return results["expect_compound_columns_to_be_unique"].result["unexpected_count"]

    return lambda: sum(map(check, paths(folder)))


def pandera(folder: Path) -> Callable[[], int]:
    import pandera.polars as pa
    import polars as pl

    schema = pa.DataFrameSchema(
        {
            "id": pa.Column(str),
            "source": pa.Column(str, pa.Check.isin(["chat"])),
            "label": pa.Column(str, pa.Check.isin(LABELS)),
            "roles": pa.Column(str, pa.Check.isin(ORDERS)),
            "shortest": pa.Column(int, pa.Check.ge(1)),
            "input": pa.Column(str),
            "answer": pa.Column(str),
        },
        unique=["input", "answer"],
        strict=True,
    )
    turns, content = pl.col("messages").list, pl.element().struct.field("content")

    def check(path: Path) -> int:
        frame = pl.read_ndjson(path).select(
            *(pl.col("meta").struct.field(name) for name in NAMES[:3]),
            turns.eval(pl.element().struct.field("role").str.head(1)).list.join("").alias("roles"),
            turns.eval(content.str.strip_chars().str.len_chars()).list.min().cast(pl.Int64).alias("shortest"),
            turns.eval(content).list.head(turns.len() - 1).list.join("\n").alias("input"),
            turns.last().struct.field("content").alias("answer"),
        )
        try:
            schema.validate(frame, lazy=True)
        except pa.errors.SchemaErrors as error:
            # It counts every row of a set of equal ones; what comes after the first is a duplicate.
            assert set(error.failure_cases["check"]) == {"multiple_fields_uniqueness"}
        return frame.height - frame.select(NAMES[-2:]).n_unique()

    return lambda: sum(map(check, paths(folder)))


WAYS = {"bare": bare, "ours": ours, "Great Expectations": great_expectations, "pandera": pandera}


def close_looks(folder: Path, rows: int) -> None:
    """The rate of every family of ROWS and TOKENS, alone, on all cores; and of the bare tokenizer."""
    from nlp_skills.data.checks import ROWS, TOKENS
    from nlp_skills.data.checks.examine import examine_rows
    from nlp_skills.data.checks.reading import partition_size
    from nlp_skills.data.partitions import Scan
    from nlp_skills.records import silent

    context = make_context(folder)
    total = sum(path.stat().st_size for path in paths(folder))
    parts = list(Scan(context.files, partition_size(total, "cores")))
    print(f"\n| family, all cores, {rows:,} rows | rows/s |\n|---|---|")
    for family in (*ROWS, *TOKENS):
        for _ in ("to start the processes and load what they need", "to measure"):
            start = time.perf_counter()
            seen = examine_rows([family], context, parts, rows, silent, deep=True, where="cores")
            seen.families[0].findings()
            seconds = time.perf_counter() - start
        print(f"| {family.__name__}: {', '.join(family.checks)} | {rows / seconds:,.0f} |")
    from token_checks import token_rates

    from nlp_skills.data.example import read_examples

    examples = [row for row, _ in zip(read_examples(folder / "train.jsonl"), range(5_000), strict=False)]
    for name, rate in token_rates(examples).items():
        print(f"| tokens, one thread: {name} | {rate:,.1f} |")


if __name__ == "__main__":
    main()
