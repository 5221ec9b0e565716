"""Suites of lm-evaluation-harness for any model of a task, in the harness's own words and on our predictors.

run_benchmark(task, suites=["arc_easy", "my_suite"], model="v2", against="base")
    my_suite: configs/benchmarks/my_suite.yaml, a task of the harness; relative paths in it begin at the task's folder
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from nlp_skills.errors import NotFound, NotReady, NotValid, clip, did_you_mean
from nlp_skills.evaluation.benchmarks.answering import ChatAnswers
from nlp_skills.evaluation.benchmarks.harness_process import VERSION, HarnessProcess
from nlp_skills.evaluation.benchmarks.paired import changes
from nlp_skills.evaluation.benchmarks.plain_texts import PlainAnswers
from nlp_skills.evaluation.benchmarks.probe import after_run, probe
from nlp_skills.evaluation.benchmarks.record import BenchmarkResult, Sample, SuiteScore
from nlp_skills.evaluation.predictors import open_predictor
from nlp_skills.records import Progress, now, silent, write_lines
from nlp_skills.task.version import version_names


def run_benchmark(
    task: Path,
    *,
    suites: list[str],
    model: str | None = None,
    against: str | None = None,
    limit: int | None = None,
    few_shot: int | None = None,
    plain: bool = False,
    download: bool = False,
    batch_size: int = 8,
    seed: int = 13,
    progress: Progress = silent,
) -> BenchmarkResult:
    """Measure suites and write benchmarks/lm_eval/<key>.json, with a line for each row beside it.

    Suites are asked as chats, with the template and end tokens of the task's rows; `plain` asks plain texts instead, as
    the harness's own model does, which published figures of base models are measured with. Nothing is fetched without
    `download`. `against` names a model that was measured alike before: the two are compared row by row.
    Raises NotReady where harness, data or that measurement are missing, NotFound for an unknown suite, NotValid for a
    suite that cannot be asked so, RunFailed where the harness reports something else than the model said.
    """
    if not suites:
        raise NotValid(
            "No suites were named. Name suites of lm-evaluation-harness or files in configs/benchmarks."
        )
    if limit is not None and limit < 1:
        raise NotValid(f"limit is {limit}, so that no row would be asked. Give 1 or more, or leave it out.")
    reference = model or _newest_trained(task) or "base"
    settings = {"limit": limit, "few_shot": few_shot, "plain": plain, "seed": seed, **_files(task, suites)}
    before = None if against is None else _measured(task, against, suites, settings)
    predictor = open_predictor(task, reference)
    try:
        reply = (
            PlainAnswers(predictor, seed, progress)
            if plain
            else ChatAnswers(predictor, batch_size, seed, progress)
        )
        progress(f"starting lm-evaluation-harness {VERSION}", 0, None)
        with HarnessProcess(task, download=download) as process, tempfile.TemporaryDirectory() as known:
            sanity = probe(process, predictor, reply, Path(known), plain)
            asked = _asked(task, suites, limit, few_shot, plain, seed)
            found = _checked(process.run(asked, reply), task, suites)
        identity, name = predictor.identity, predictor.name
    finally:
        predictor.close()
    scores = _scores(found)
    result = BenchmarkResult(
        model=name,
        reference=reference,
        identity=identity,
        harness=VERSION,
        suites=suites,
        scores=scores,
        sanity=after_run(sanity, scores, found["samples"]),
        settings=settings,
        created=now(),
    )
    samples = [_sample(row) for row in found["samples"]]
    result = _save(task, result, samples)  # it stands, also where the two cannot be compared
    if before is None:
        return result
    compared = [one.model_dump() for one in changes(before, samples, scores, seed)]
    return result.with_changes(against=against, changes=compared).save(task / result.file)


def _asked(
    task: Path, suites: Sequence[str], limit: int | None, few_shot: int | None, plain: bool, seed: int
) -> dict[str, Any]:
    own = _own(task)
    return {
        "suites": list(suites),
        "include": [str(_folder(task))] if own else None,
        "packaged": not set(suites) <= own.keys(),
        "limit": limit,
        "few_shot": few_shot,
        "chat": not plain,
        "seed": seed,
    }


def _folder(task: Path) -> Path:
    return (task / "configs" / "benchmarks").resolve()


def _own(task: Path) -> dict[str, Path]:
    """The suites of the user, by their names. The harness's tags (`!function`) are not looked into."""
    found = {}
    for path in sorted(_folder(task).glob("**/*.yaml")):
        try:
            for event in yaml.compose(path.read_text(encoding="utf-8")).value:
                if event[0].value in ("task", "group") and isinstance(event[1].value, str):
                    found[event[1].value] = path
        except (yaml.YAMLError, AttributeError, TypeError):
            raise NotValid(
                f"{path} is no suite of lm-evaluation-harness: it has to be YAML with a field `task:`."
            ) from None
    return found


def _files(task: Path, suites: Sequence[str]) -> dict[str, str]:
    """The hashes of the user's own suites: another file is another benchmark."""
    own = _own(task)
    return {f"file {n}": hashlib.sha256(own[n].read_bytes()).hexdigest()[:16] for n in suites if n in own}


def _checked(found: dict[str, Any], task: Path, suites: Sequence[str]) -> dict[str, Any]:
    if "unknown" in found:
        name = found["unknown"][0]
        raise NotFound(
            f"lm-evaluation-harness {VERSION} knows no suite {name!r}{did_you_mean(name, found['known'])}, and"
            f" {task.name}/configs/benchmarks has none of that name ({', '.join(_own(task)) or 'it is empty'})."
        )
    if "refused" in found:
        raise NotValid(
            f"{found['refused']}: that cannot be asked as a chat. Ask it as plain text (--plain), or leave it out."
            if "sandbox" not in found["refused"]
            else f"{found['refused']}: it is not run here. Measure code with pass_at_1 of evaluate-version instead."
        )
    if "unloaded" in found:
        raise NotReady(
            f"The data of {', '.join(suites)} could not be read ({clip(found['unloaded'], 300)}). Where they are only not"
            f" on this machine yet, fetch them: nlp-skills run-benchmark {task.name} --suites {','.join(suites)} --download"
        )
    return found


def _scores(found: dict[str, Any]) -> list[SuiteScore]:
    """The harness's `acc,none` and `acc_stderr,none` as records."""
    scores = []
    for suite, values in found["results"].items():
        for key, value in values.items():
            metric, _, kind = key.partition(",")
            if not kind or metric.endswith("_stderr") or not isinstance(value, int | float):
                continue
            stderr = values.get(f"{metric}_stderr,{kind}")
            scores.append(
                SuiteScore(
                    suite=suite,
                    metric=metric,
                    filter=kind,
                    value=float(value),
                    stderr=float(stderr) if isinstance(stderr, int | float) else None,
                    count=_count(found, suite),
                    version=str(found["versions"].get(suite, "")),
                    few_shot=found["n-shot"].get(suite),
                    higher_is_better=found["higher_is_better"].get(suite, {}).get(metric),
                )
            )
    return scores


def _count(found: dict[str, Any], suite: str) -> int:
    if suite in found["n-samples"]:
        return int(found["n-samples"][suite]["effective"])
    return sum(_count(found, part) for part in found["group_subtasks"].get(suite, []) if part != suite)


def _sample(row: dict[str, Any]) -> Sample:
    return Sample(
        suite=row["suite"],
        doc=row["doc"],
        prompt=row["prompt"],
        filter=row["filter"],
        target=str(row["target"]),
        said=json.dumps(row["said"], ensure_ascii=False),
        metrics=row["metrics"],
    )


def _save(task: Path, result: BenchmarkResult, samples: Sequence[Sample]) -> BenchmarkResult:
    """The same model, suites and settings are the same file."""
    told = json.dumps([result.identity, result.reference, result.suites, result.settings])
    file = f"benchmarks/lm_eval/{hashlib.sha256(told.encode()).hexdigest()[:12]}.json"
    path = task / file
    write_lines(path.with_suffix(".jsonl"), (row.model_dump_json().encode() for row in samples))
    return result.with_changes(file=file).save(path)


def _measured(
    task: Path, against: str, suites: list[str], settings: dict[str, str | int | float | bool | None]
) -> list[Sample]:
    """The rows of another model that was measured alike, the newest of several."""
    records = map(BenchmarkResult.load, sorted((task / "benchmarks" / "lm_eval").glob("*.json")))
    alike = [
        one
        for one in records
        if (one.reference, one.suites, one.settings, one.harness) == (against, suites, settings, VERSION)
    ]
    if not alike:
        given = [
            f"--{name.replace('_', '-')} {settings[name]}"
            for name in ("limit", "few_shot")
            if settings[name] is not None
        ]
        options = " ".join(
            [*given, *(["--plain"] if settings["plain"] else []), f"--seed {settings['seed']}"]
        )
        raise NotReady(
            f"{against} was not measured in {', '.join(suites)} with these settings. Do so first: nlp-skills"
            f" run-benchmark {task.name} --suites {','.join(suites)} --model {against} {options}"
        )
    newest = max(alike, key=lambda one: one.created)
    lines = (task / newest.file).with_suffix(".jsonl").read_bytes().splitlines()
    return [Sample.model_validate_json(line) for line in lines]


def _newest_trained(task: Path) -> str | None:
    trained = [
        name for name in version_names(task) if (task / "versions" / name / "model_info.json").is_file()
    ]
    return trained[-1] if trained else None
