"""README.md of a published model: what it is, how it was made and how good it is, from the task's own records.

task.yaml  lineage.yaml  results.json  data_snapshot.json  licences ──▶ metadata that the Hub reads + text

Equal records give equal bytes. What was not measured is said to be so; a figure stands only where it was measured
of these very weights.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from nlp_skills.deployment.publishing.licences import Licensing
from nlp_skills.deployment.publishing.metadata import CardFacts, metadata
from nlp_skills.deployment.publishing.origin import Origin
from nlp_skills.errors import counted
from nlp_skills.evaluation.verdict import baseline_name, capitalize, metric_name, show_interval


def model_card(facts: CardFacts) -> str:
    """The whole README.md. Raises ValueError for metadata that huggingface_hub does not take."""
    from huggingface_hub import ModelCard

    body = "\n\n".join(part for part in _parts(facts) if part)
    return str(ModelCard(f"---\n{metadata(facts)}\n---\n\n{body}\n"))


def licence_file(licensing: Licensing) -> str:
    """LICENSE.md: which terms hold, where there is not one licence for all."""
    lines = [
        "# Licences",
        "This model carries the terms of several works. Whoever uses it or hands it on has to keep all of them.",
        f"- Base model: {licensing.base.shown}",
    ]
    lines += [f"- Data set {name}: {found.shown}" for name, found in licensing.data.items()]
    return "\n\n".join(lines[:2]) + "\n\n" + "\n".join(lines[2:]) + "\n"


# Text ----------------------------------------------------------------------------------------------


def _parts(facts: CardFacts) -> Iterator[str]:
    terms = facts.licensing.terms
    yield f"# {facts.repo_id.partition('/')[2]}"
    yield _summary(facts)
    if terms and terms.shown:
        yield f"**{terms.shown}**"
    yield "## Use\n\n" + _use(facts)
    yield "## Results\n\n" + _results(facts)
    yield "## Data\n\n" + _data(facts)
    yield "## Training\n\n" + _training(facts)
    yield "## Licence\n\n" + _licence(facts)
    yield "## Limits\n\n" + "\n".join(f"- {line}" for line in _limits(facts))


def _summary(facts: CardFacts) -> str:
    task = facts.task
    lines = [_sentence(task.goal)]
    if task.labels:
        lines.append(f"It answers with one of: {', '.join(task.labels)}.")
    if task.input_description:
        lines.append(f"Input: {_sentence(task.input_description)}")
    if task.output_description:
        lines.append(f"Output: {_sentence(task.output_description)}")
    lines.append(f"This is {task.name} {facts.version.version}, {_form(facts)}.")
    return "  \n".join(lines)


def _form(facts: CardFacts) -> str:
    origin, info = facts.origin, facts.info
    base = _link(origin)
    if info.format == "adapter":
        return f"an adapter for {base}"
    quantized = f" as GGUF ({info.quantization})" if info.format == "gguf" else ""
    return f"the whole model{quantized}, tuned from {base}"


def _link(origin: Origin) -> str:
    return f"[{origin.hub_id}](https://huggingface.co/{origin.hub_id})" if origin.hub_id else origin.name


def _use(facts: CardFacts) -> str:
    system = facts.system
    if not system:
        told = "The rows that it was trained on have no system prompt in common: ask as they do."
    elif facts.system_is_known:
        told = f"It was trained with this system prompt, and answers as measured only with it:\n\n{_fenced(system)}"
    else:
        told = f"The task's system prompt is:\n\n{_fenced(system)}"
    return f"{told}\n\n{_how(facts, system or '')}"


def _fenced(text: str) -> str:
    """As a block of code, whatever the text holds."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}text\n{text}\n{fence}"


def _how(facts: CardFacts, system: str) -> str:
    if facts.info.format == "gguf":
        quantized = (facts.info.quantization or "").upper()
        return (
            "With llama.cpp, or with Ollama:\n\n"
            f"```sh\nllama-server -hf {facts.repo_id}:{quantized}\nollama run hf.co/{facts.repo_id}:{quantized}\n```"
        )
    messages = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": "…"})
    install = "transformers peft" if facts.info.format == "adapter" else "transformers"
    return (
        f"With `pip install torch {install}`:\n\n```python\nfrom transformers import pipeline\n\n"
        f'model = pipeline("text-generation", model="{facts.repo_id}")\n'
        f"messages = {_python(messages)}\n"
        'answer = model(messages, max_new_tokens=256, do_sample=False)[0]["generated_text"][-1]["content"]\n'
        "print(answer)\n```"
    )


def _python(messages: list[dict[str, str]]) -> str:
    rows = "".join(f"    {json.dumps(message, ensure_ascii=False)},\n" for message in messages)
    return f"[\n{rows}]"


def _results(facts: CardFacts) -> str:
    result = facts.result
    if result is None:
        return f"Not measured: {facts.result_missing}"
    names = list(dict.fromkeys([result.metric or facts.task.chosen_metric, *result.metrics]))
    names = [name for name in names if name in result.metrics][:SHOWN]
    rows = [["this model", *(show_interval(result.metrics[name]) for name in names)]]
    rows += [
        [
            baseline_name(key),
            *(show_interval(score.metrics[name]) if name in score.metrics else "" for name in names),
        ]
        for key, score in result.baseline.items()
    ]
    table = _table(["", *(capitalize(metric_name(name)) for name in names)], rows)
    criteria = facts.promotion.criteria if facts.promotion else []
    asked = [f"- {line.criterion}: **{line.answer}**. {line.reason}" for line in criteria]
    told = f"On {counted(result.count, 'row')} of the task's own {result.split} split, with 95 % intervals."
    sane = (
        f"Whether the numbers speak of the model: {result.sane.verdict}. {result.sane.reason}"
        if result.sane
        else ""
    )
    parts = [told, table, sane, "What was asked of it:\n\n" + "\n".join(asked) if asked else ""]
    return "\n\n".join(part for part in parts if part)


SHOWN = 4
"""Metrics in the table; results.json has all."""


def _data(facts: CardFacts) -> str:
    snapshot, counts = facts.snapshot, facts.version.data
    told = (
        f"{counted(counts.train_count, 'row')} to train on, {counts.valid_count:,} for validation, {counts.test_count:,}"
        f" to test on (source hash `{counts.source_hash[:16]}`)."
    )
    if snapshot is None:
        return told
    rows = []
    for name, source in snapshot.sources.items():
        dataset = source.request.get("dataset") if source.type == "hub" else None
        licence = facts.licensing.data.get(str(dataset))
        shown = f"[{dataset}](https://huggingface.co/datasets/{dataset})" if dataset else name
        rows.append(
            [
                shown,
                source.type.replace("_", " "),
                f"{source.rows:,}",
                licence.shown if licence else "not stated",
            ]
        )
    edited = " The rows were edited by hand afterwards." if snapshot.edited else ""
    return f"{told}{edited}\n\n{_table(['source', 'kind', 'rows', 'licence'], rows)}"


_SETTINGS = ("method", "peft", "lora_r", "lora_alpha", "epochs", "learning_rate", "max_length", "seed")


def _training(facts: CardFacts) -> str:
    config, environment = facts.version.config, facts.version.environment
    revision = f" at revision `{facts.origin.revision}`" if facts.origin.revision else ""
    lines = [f"Base model: {_link(facts.origin)}{revision}."]
    if facts.origin.converted_from:
        lines.append(
            f"It was trained on the weights of `{facts.origin.converted_from}`, converted to safetensors; the original's"
            " weights may differ, for such files are quantised."
        )
    shown = {name: config[name] for name in _SETTINGS if config.get(name) is not None}
    if shown.get("peft") == "none":
        shown = {name: value for name, value in shown.items() if not name.startswith("lora")}
    rows = [[f"`{name}`", str(value)] for name, value in shown.items()]
    packages = environment.get("packages") or {}
    made = ", ".join(
        f"{name} {packages[name]}" for name in ("trl", "peft", "transformers", "torch") if name in packages
    )
    lines += ["", _table(["setting", "value"], rows)]
    if made:
        lines += ["", f"Made with [TRL](https://github.com/huggingface/trl) by nlp-skills: {made}."]
    lines += ["", "All settings and the lineage are in `versions/`."]
    return "\n".join(lines)


def _licence(facts: CardFacts) -> str:
    licensing = facts.licensing
    lines = [f"- Base model {_link(facts.origin)}: {licensing.base.shown}"]
    lines += [f"- Data set {name}: {found.shown}" for name, found in licensing.data.items()]
    if licensing.license == "unknown":
        lines.append(
            "- The licence of the base model is not known here, so none is stated for this model: ask first."
        )
    if licensing.terms:
        terms = licensing.terms
        lines.append(f"- Whoever hands this model on has to: {terms.asks}. {terms.notice}")
    if facts.snapshot and len(facts.snapshot.sources) > len(licensing.data):
        others = "other sources" if licensing.data else "sources"
        lines.append(f"- For the {others} of the data no licence is stated.")
    return "\n".join(lines)


def _limits(facts: CardFacts) -> Iterator[str]:
    result = facts.result
    yield "It was tuned and tested for this one task; what it does elsewhere was not measured."
    if result and result.forgetting:
        yield f"General knowledge: {result.forgetting.verdict}. {result.forgetting.reason}"
    elif result:
        yield "Whether it has forgotten general knowledge was not measured."
    for what, why in (result.not_measured if result else {}).items():
        yield f"Not measured: {what.replace('_', ' ')}. {_sentence(why)}"
    for check in facts.info.checks:
        told = {True: "passed", False: "not passed", None: "not measured"}[check.passed]
        yield f"{check.id}: {told}. {_sentence(check.message)}"


def _sentence(text: str) -> str:
    text = " ".join(text.split())
    return text if not text or text[-1] in ".!?。！？" else f"{text}."


def _table(head: list[str], rows: Iterable[list[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    cell = [[str(value).replace("|", "\\|").replace("\n", " ") for value in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cell)
