"""Exactly the assistant's tokens are trained, end token included: the chat templates of the large families.

The templates are those that TRL ships. The reference knows how each family opens and closes an answer,
looks for that in one rendering of the conversation, and shares no code with the library.
"""

import re
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import trl
from small_tokenizers import GENERATION

from nlp_skills.base_model import BaseModelFiles, load_tokenizer
from nlp_skills.data.example import Example, Message, Meta
from nlp_skills.data.tokens import IGNORED, TokenRow, answer_ids, prompt_ids, tokenize_rows
from nlp_skills.errors import NotValid

TEMPLATES = Path(trl.__file__).parent / "chat_templates"
SPECIAL = re.compile(r"<\|[^|<>\s]+\|>|<(?:start|end)_of_turn>")


@dataclass(frozen=True)
class Family:
    """How a template opens and closes an answer; regular expressions over the rendered text."""

    opening: str
    closing: str
    tools: bool = False
    rewrites: bool = False
    """Earlier turns look otherwise once others follow, so each answer is looked for in its own rendering."""


IM = r"<\|im_start\|>assistant\n"
EMPTY = r"<think>\n\n</think>\n\n"
FAMILIES = {
    "SmolLM2": Family(IM, r"<\|im_end\|>"),
    "qwen2_5": Family(IM, r"<\|im_end\|>", tools=True),
    "qwen3": Family(IM, r"<\|im_end\|>", tools=True, rewrites=True),
    "qwen3, thinking off": Family(IM + EMPTY, r"<\|im_end\|>", tools=True, rewrites=True),
    "qwen3_5_think": Family(IM + r"<think>\n", r"<\|im_end\|>", tools=True, rewrites=True),
    "qwen3_5_think, thinking off": Family(IM + EMPTY, r"<\|im_end\|>", tools=True, rewrites=True),
    "qwen3_instruct_2507": Family(IM, r"<\|im_end\|>", tools=True),
    "llama3": Family(r"<\|start_header_id\|>assistant<\|end_header_id\|>\n\n", r"<\|eot_id\|>"),
    "llama3_1": Family(r"<\|start_header_id\|>assistant<\|end_header_id\|>\n\n", r"<\|eot_id\|>", tools=True),
    "gemma": Family(r"<start_of_turn>model\n", r"<end_of_turn>"),
    "gemma3": Family(r"<start_of_turn>model\n", r"<end_of_turn>"),
    "phi3": Family(r"<\|assistant\|>\n", r"<\|end\|>"),
    "gptoss": Family(r"<\|start\|>assistant", r"<\|(?:return|call)\|>", tools=True, rewrites=True),
}
THINKING = [name for name in FAMILIES if name.startswith("qwen3") and "2507" not in name]


def tokenizer_of(smollm2: BaseModelFiles, name: str) -> Any:
    """SmolLM2's tokenizer with a family's template and its special tokens."""
    tokenizer = load_tokenizer(smollm2)
    if name != "SmolLM2":
        template = (TEMPLATES / f"{name.partition(',')[0]}.jinja").read_text(encoding="utf-8")
        tokenizer.add_special_tokens({"additional_special_tokens": sorted(set(SPECIAL.findall(template)))})
        tokenizer.chat_template = template
    return tokenizer


def thinking_of(name: str) -> bool | None:
    return False if name.endswith("off") else None


def reference(tokenizer: Any, family: Family, example: Example, thinking: bool | None) -> list[TokenRow]:
    """By looking for the answers in the rendered text; a row for each where the template rewrites."""
    messages = example.messages or []
    answers = [place for place, message in enumerate(messages) if message.role == "assistant"]
    if not family.rewrites:
        learned = [messages[place].weight != 0 for place in answers]
        return [cut(tokenizer, family, rendered(tokenizer, example, len(messages), thinking), learned)]
    rows = []
    for place in answers:
        if messages[place].weight != 0:
            text = rendered(tokenizer, example, place + 1, thinking)
            last = list(re.finditer(family.opening, text))[-1].start()
            rows.append(cut(tokenizer, family, text, [True], start=last))
    return rows


def rendered(tokenizer: Any, example: Example, count: int, thinking: bool | None) -> str:
    turns = []
    for message in (example.messages or [])[:count]:
        turn: dict[str, Any] = {"role": message.role, "content": message.content or ""}
        if message.tool_calls:
            turn["tool_calls"] = message.tool_calls
        turns.append(turn)
    flag = {} if thinking is None else {"enable_thinking": thinking}
    return tokenizer.apply_chat_template(turns, tools=example.tools, tokenize=False, **flag)


def cut(tokenizer: Any, family: Family, text: str, learned: list[bool], start: int = 0) -> TokenRow:
    """Ids and labels of the text up to the end of its last learned answer, cut at the answers' edges."""
    ids: list[int] = []
    labels: list[int] = []
    done = 0
    answers = list(re.compile(f"{family.opening}(.*?{family.closing})", re.DOTALL).finditer(text, start))
    assert len(answers) == len(learned)
    for found, is_learned in zip(answers, learned, strict=True):
        if is_learned:
            before = tokenizer(text[done : found.start(1)], add_special_tokens=False)["input_ids"]
            answer = tokenizer(text[found.start(1) : found.end(1)], add_special_tokens=False)["input_ids"]
            ids += before + answer
            labels += [IGNORED] * len(before) + answer
            done = found.end(1)
    return TokenRow(ids, labels)


TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def called(city: str) -> Message:
    call = {"type": "function", "id": "c1", "function": {"name": "weather", "arguments": {"city": city}}}
    return Message("assistant", "", tool_calls=[call])


CONVERSATIONS: dict[str, list[Message]] = {
    "one answer": [Message("user", "Is it good?"), Message("assistant", "Yes, it is.")],
    "three answers": [
        Message("user", "Where is my parcel?"),
        Message("assistant", "On its way."),
        Message("user", "When?"),
        Message("assistant", "1. Tomorrow\n2. before noon"),
        Message("user", "謝謝"),
        Message("assistant", "不客氣 👍"),
    ],
    "an answer of weight 0": [
        Message("user", "Hello"),
        Message("assistant", "Go away.", weight=0),
        Message("user", "Please?"),
        Message("assistant", "How can I help?"),
    ],
}
WITH_TOOLS = [
    Message("user", "Rain in Paris and Rome?"),
    called("Paris"),
    Message("tool", '{"rain": true}', tool_call_id="c1", name="weather"),
    called("Rome"),
    Message("tool", '{"rain": false}', tool_call_id="c1", name="weather"),
    Message("assistant", "In Paris only."),
    Message("user", "And in Rome?"),
    Message("assistant", "Dry."),
]
REASONED = [
    Message("user", "2 + 2?"),
    Message("assistant", "<think>\nAdd them.\n</think>\n\n4"),
    Message("user", "And one more?"),
    Message("assistant", "<think>\n4 + 1\n</think>\n\n5"),
]


def example(messages: list[Message], tools: list[dict[str, Any]] | None = None) -> Example:
    return Example(meta=Meta("r-1", "s"), messages=messages, tools=tools)


def bare(rows: list[TokenRow]) -> list[tuple[list[int], list[int]]]:
    return [(row.input_ids, row.labels) for row in rows]


@pytest.mark.parametrize("conversation", CONVERSATIONS)
@pytest.mark.parametrize("name", FAMILIES)
def test_exactly_the_answers_are_trained(smollm2: BaseModelFiles, name: str, conversation: str) -> None:
    tokenizer, thinking = tokenizer_of(smollm2, name), thinking_of(name)
    row = example(CONVERSATIONS[conversation])
    found = tokenize_rows(tokenizer, [row], 4096, thinking=thinking)
    assert bare(found) == bare(reference(tokenizer, FAMILIES[name], row, thinking))
    assert all(row.labels[-1] == row.input_ids[-1] and not row.end_added for row in found)


@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if family.tools])
def test_tool_calls_are_trained_and_tools_and_their_results_are_not(
    smollm2: BaseModelFiles, name: str
) -> None:
    tokenizer, thinking = tokenizer_of(smollm2, name), thinking_of(name)
    row = example(WITH_TOOLS, [TOOL])
    found = tokenize_rows(tokenizer, [row], 4096, thinking=thinking)
    assert bare(found) == bare(reference(tokenizer, FAMILIES[name], row, thinking))
    said = [text for r in found for learns, text in texts(tokenizer, r.input_ids, r.labels) if learns]
    assert ["Paris" in said[0], "Rome" in said[1], "In Paris only." in said[2], "Dry." in said[3]] == [
        True
    ] * 4
    assert not any("rain" in text for text in said)


@pytest.mark.parametrize("name", [name for name in THINKING if not name.endswith("off")])
def test_reasoning_is_trained_with_the_answer_it_belongs_to(smollm2: BaseModelFiles, name: str) -> None:
    tokenizer = tokenizer_of(smollm2, name)
    row = example(REASONED)
    found = tokenize_rows(tokenizer, [row], 4096, thinking=True)
    assert bare(found) == bare(reference(tokenizer, FAMILIES[name], row, True))
    assert ["Add them." in tokenizer.decode(r.input_ids) for r in found] == [True, False]
    assert [r.apart for r in found] == [True, True]


@pytest.mark.parametrize("name", THINKING)
def test_the_question_of_the_evaluation_is_the_one_of_the_training(
    smollm2: BaseModelFiles, name: str
) -> None:
    tokenizer, thinking = tokenizer_of(smollm2, name), thinking_of(name)
    row = example(CONVERSATIONS["three answers"])
    last = tokenize_rows(tokenizer, [row], 4096, thinking=thinking)[-1]
    asked, said = prompt_ids(tokenizer, row, thinking), answer_ids(tokenizer, row, thinking)
    assert (last.input_ids, last.labels) == (asked + said, [IGNORED] * len(asked) + said)


def test_reasoning_has_no_room_where_thinking_is_off(smollm2: BaseModelFiles) -> None:
    with pytest.raises(
        NotValid, match=r"r-1.*It may have reasoning that enable_thinking: false has no room for"
    ):
        tokenize_rows(tokenizer_of(smollm2, "qwen3"), [example(REASONED)], 4096, thinking=False)


def test_a_template_that_leaves_tool_calls_out_is_refused(smollm2: BaseModelFiles) -> None:
    with pytest.raises(NotValid, match=r"Row r-1 calls the tool 'weather', but .* leaves tool calls out"):
        tokenize_rows(tokenizer_of(smollm2, "lfm2"), [example(WITH_TOOLS, [TOOL])], 4096)


def texts(tokenizer: Any, ids: list[int], labels: list[int]) -> list[tuple[bool, str]]:
    """The runs of trained and untrained tokens as text, up to the last that is trained."""
    runs = [
        (learns, tokenizer.decode([i for i, _ in run]))
        for learns, run in groupby(zip(ids, labels, strict=True), lambda pair: pair[1] != IGNORED)
    ]
    return runs if runs[-1][0] else runs[:-1]


def tagged(tokenizer: Any, row: Example) -> tuple[list[int], list[int]]:
    """Ids and labels by {% generation %} tags, as transformers finds them."""
    turns = [{"role": message.role, "content": message.content} for message in row.messages or []]
    found = tokenizer.apply_chat_template(turns, return_dict=True, return_assistant_tokens_mask=True)
    ids = found["input_ids"]
    labels = [i if learns else IGNORED for i, learns in zip(ids, found["assistant_masks"], strict=True)]
    return ids, labels


UNWEIGHTED = ("one answer", "three answers")


@pytest.mark.parametrize("conversation", UNWEIGHTED)
@pytest.mark.parametrize("name", ["own tags", "llama3_training"])
def test_the_mask_is_that_of_generation_tags(smollm2: BaseModelFiles, name: str, conversation: str) -> None:
    tokenizer = tokenizer_of(smollm2, "SmolLM2" if name == "own tags" else name)
    if name == "own tags":
        tokenizer.chat_template = GENERATION
    row = example(CONVERSATIONS[conversation])
    ids, labels = tagged(tokenizer, row)
    [found] = tokenize_rows(tokenizer, [row], 4096)
    assert [i for i in found.labels if i != IGNORED] == [i for i in labels if i != IGNORED]
    # Of Llama's header SmolLM2's tokenizer makes other tokens with a word behind it than where the answer has yet to come.
    assert texts(tokenizer, found.input_ids, found.labels) == texts(tokenizer, ids, labels)


@pytest.mark.parametrize("conversation", UNWEIGHTED)
@pytest.mark.parametrize(
    "name",
    ["qwen2_5_training", "qwen3_instruct_2507_training", "gemma_training", "phi3_training", "lfm2_training"],
)
def test_tags_that_hold_more_than_the_answer_hold_only_what_a_model_never_writes(
    smollm2: BaseModelFiles, name: str, conversation: str
) -> None:
    """The line end of the generation prompt before an answer; line end and end of the text after its end token."""
    tokenizer = tokenizer_of(smollm2, name)
    row = example(CONVERSATIONS[conversation])
    ids, labels = tagged(tokenizer, row)
    [found] = tokenize_rows(tokenizer, [row], 4096)
    assert found.input_ids == ids[: found.length]
    more = [label for ours, label in zip(found.labels, labels, strict=False) if ours == IGNORED != label]
    assert [ours for ours, label in zip(found.labels, labels, strict=False) if ours != label == IGNORED] == []
    rest = [label for label in labels[found.length :] if label != IGNORED]
    assert set(tokenizer.decode([*more, *rest]).replace(tokenizer.eos_token, "")) <= {"\n"}
