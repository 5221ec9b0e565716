"""How a server holds many streams: time to the first token, to the whole answer, tokens a second, and that nothing is dropped.

    uv run --all-extras --with 'transformers[serving]' python benchmarks/serving.py          the table of docs/benchmarks.md
    … --seconds 10                                                                          a short trial of it
    … --server ours --streams 64 --seconds 60                                               one row

64 streams of ours for a minute, then eight of ours and of `transformers serve`, with and without `--continuous-batching`,
for 20 seconds. SmolLM2-135M-Instruct, prompts of 10 to 60 words drawn with a seed, answers of 32 tokens; every stream asks
anew as soon as it has its answer. Of ours the one that is too many has to be refused in between, and SIGTERM has to end it
well. What is not installed here is left out, and said.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROWS = (
    ("ours", 64, 60.0),
    ("ours", 8, 20.0),
    ("transformers", 8, 20.0),
    ("transformers-continuous", 8, 20.0),
)
"""Server, streams, seconds."""

NAMES = {
    "ours": "`nlp-skills serve`",
    "transformers": "`transformers serve`",
    "transformers-continuous": "`transformers serve --continuous-batching`",
}

WORDS = "where is my card the payment failed again please help with order number shipping address change refund".split()


def prompt(rng: random.Random) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(10, 60)))


def make_task(home: Path) -> Path:
    """A task whose v1 is the base model as it is."""
    from nlp_skills.base_model import resolve_base_model
    from nlp_skills.records import sha256_tree
    from nlp_skills.task.task import TaskType, create_task
    from nlp_skills.training.config import TrainConfig
    from nlp_skills.training.model_info import ModelInfo

    create_task(home, "bench", type=TaskType.GENERATION, goal="Answer.", base_model="smollm2-135m-instruct")
    task, source = home / "bench", Path(resolve_base_model("smollm2-135m-instruct").path)
    weights = task / "models" / "v1" / "model"
    shutil.copytree(source, weights)
    TrainConfig(base_model="smollm2-135m-instruct", peft="none").save(
        task / "versions" / "v1" / "config.yaml"
    )
    ModelInfo(
        path="models/v1/model",
        format="merged",
        sha256=sha256_tree(weights),
        base_model="smollm2-135m-instruct",
        chat_template_sha256="",
        trainable_parameters=1,
        total_parameters=1,
    ).save(task / "versions" / "v1" / "model_info.json")
    return weights


def command(server: str, home: Path, weights: Path, port: int, streams: int) -> tuple[list[str], str]:
    """How the server is started, and what it calls the model."""
    if server == "ours":
        ours = [
            sys.executable,
            "-m",
            "nlp_skills",
            "serve",
            "bench",
            "--home",
            str(home),
            "--port",
            str(port),
        ]
        return [*ours, "--streams", str(streams), "--backend", "transformers"], "bench"
    main = "from transformers.cli.transformers import main; main()"
    theirs = [sys.executable, "-c", main, "serve", str(weights), "--port", str(port)]
    theirs += ["--host", "127.0.0.1", "--device", "cpu", "--dtype", "bfloat16"]
    if server == "transformers-continuous":
        theirs += ["--continuous-batching", "--cb-num-blocks", "64"]
    return theirs, str(weights)


async def wait_until_up(url: str, process: subprocess.Popen[bytes]) -> None:
    import httpx2

    async with httpx2.AsyncClient() as client:
        while process.poll() is None:
            try:
                if (await client.get(f"{url}/health")).is_success:
                    return
            except httpx2.TransportError:
                pass
            await asyncio.sleep(0.2)
    raise SystemExit("the server ended while it started")


KINDS = ("first", "gap", "whole", "tokens", "dropped", "refused")


async def stream(
    client: Any, model: str, rng: random.Random, until: float, found: dict[str, list[float]]
) -> None:
    """One stream after the other until the time is over; the last one is finished."""
    import openai

    while time.perf_counter() < until:
        begun = last = time.perf_counter()
        tokens = 0
        try:
            chunks = await client.chat.completions.create(
                model=model,
                messages=[{"role": "user", "content": prompt(rng)}],
                max_tokens=32,
                temperature=0,
                stream=True,
            )
            async for chunk in chunks:
                if not (chunk.choices and chunk.choices[0].delta.content):
                    continue
                now = time.perf_counter()
                found["gap" if tokens else "first"].append(now - (last if tokens else begun))
                last, tokens = now, tokens + 1
            found["whole"].append(time.perf_counter() - begun)
            found["tokens"].append(tokens)
        except openai.RateLimitError:  # for the one too many, which had its place for a moment
            found["refused"].append(1.0)
            await asyncio.sleep(0.1)
        except openai.APIError as error:
            found["dropped"].append(1.0)
            print(f"dropped: {error}", file=sys.stderr)


async def one_too_many(url: str, model: str, wait: float) -> bool:
    """Whether one more is refused; between two answers of a stream its place is free for a moment."""
    import httpx2

    await asyncio.sleep(wait)
    async with httpx2.AsyncClient(timeout=60) as client:
        body = {"model": model, "messages": [{"role": "user", "content": "x"}], "max_tokens": 1}
        for _ in range(20):
            if (await client.post(f"{url}/v1/chat/completions", json=body)).status_code == 429:
                return True
    return False


async def load(url: str, model: str, streams: int, seconds: float, ours: bool) -> dict[str, Any]:
    import openai

    found: dict[str, list[float]] = {name: [] for name in KINDS}
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="-", max_retries=0, timeout=600) as client:
        await client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "warm"}], max_tokens=2, temperature=0
        )
        begun = time.perf_counter()
        asking = [
            asyncio.create_task(stream(client, model, random.Random(n), begun + seconds, found))
            for n in range(streams)
        ]
        refused = await one_too_many(url, model, seconds / 2) if ours else None
        await asyncio.gather(*asking)
        spent = time.perf_counter() - begun
    return {
        "seconds": round(spent, 1),
        "answers": len(found["whole"]),
        "dropped": len(found["dropped"]),
        "tokens_per_second": round(sum(found["tokens"]) / spent, 1),
        **{f"{name}_ms": quantiles(found[name]) for name in ("first", "gap", "whole")},
        "one_too_many": {None: "", True: "refused", False: "answered"}[refused],
    }


def quantiles(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {
        f"p{share}": round(1000 * ordered[min(len(ordered) - 1, len(ordered) * share // 100)], 1)
        for share in (50, 95, 99)
        if ordered
    }


def measure(server: str, streams: int, seconds: float, port: int) -> dict[str, Any]:
    """One row: the server is started, asked, and told to stop."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        weights = make_task(home)
        words, model = command(server, home, weights, port, streams)
        url = f"http://127.0.0.1:{port}"
        with (home / "log").open("wb") as log:
            process = subprocess.Popen(words, stdout=log, stderr=subprocess.STDOUT)
        try:
            asyncio.run(wait_until_up(url, process))
            told = asyncio.run(load(url, model, streams, seconds, server == "ours"))
            cpu = Path(f"/proc/{process.pid}/stat")
            if cpu.is_file():
                ticks = sum(map(int, re.sub(r".*\) ", "", cpu.read_text()).split()[11:13]))
                told["server_cpu_seconds"] = round(ticks / os.sysconf("SC_CLK_TCK"), 1)
            process.send_signal(signal.SIGTERM)
            told["exit"] = process.wait(timeout=60)
        finally:
            process.kill()
            process.wait()
            print((home / "log").read_text(errors="replace")[-2000:], file=sys.stderr)
    found = {"server": server, "streams": streams, **told}
    print(json.dumps(found), file=sys.stderr)
    return found


def table(rows: list[dict[str, Any]]) -> str:
    """As docs/benchmarks.md has it; times in seconds."""
    heads = ("server", "streams", "seconds", "answers", "dropped", "one more", "tokens/s")
    heads += tuple(f"{name} p50 / p95 / p99" for name in ("first token", "whole answer", "pace"))
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for row in rows:
        cells = [NAMES[row["server"]], *(row[n] for n in ("streams", "seconds", "answers", "dropped"))]
        cells += [row["one_too_many"], row["tokens_per_second"]]
        for name in ("first_ms", "whole_ms", "gap_ms"):
            cells.append(" / ".join(f"{value / 1000:.2f}" for value in row[name].values()))
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--server", choices=sorted(NAMES), help="only this one")
    parser.add_argument("--streams", type=int, help="with so many streams")
    parser.add_argument("--seconds", type=float, help="for so long")
    parser.add_argument("--port", type=int, default=8765)
    given = parser.parse_args()
    if given.server and given.streams:
        plan = [(given.server, given.streams, 60.0)]
    else:
        plan = [row for row in ROWS if given.server in (None, row[0]) and given.streams in (None, row[1])]
    rows: list[dict[str, Any]] = []
    try:
        for server, streams, seconds in plan:
            if server != "ours" and find_spec("fastapi") is None:
                print(
                    f"{NAMES[server]} is left out: transformers[serving] is not installed.", file=sys.stderr
                )
                continue
            rows.append(measure(server, streams, given.seconds or seconds, given.port))
    finally:  # one row that does not come takes no other with it
        print(table(rows))


if __name__ == "__main__":
    main()
