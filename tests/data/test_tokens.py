"""What the loss sees, with the real tokenizer and the real chat template of SmolLM2."""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_tokenizers import FAMILIES, PLAIN, bytes_tokenizer, wrap

from nlp_skills.base_model import BaseModelFiles, load_tokenizer, local_tokenizer
from nlp_skills.data import text_encoder
from nlp_skills.data.example import Example, Message, Meta
from nlp_skills.data.text_encoder import TextEncoder, end_tokens
from nlp_skills.data.tokens import (
    IGNORED,
    MAX_LENGTH,
    NoAnswer,
    NoEnd,
    TokenRow,
    TurnsRewritten,
    answer_ids,
    encode_text,
    prompt_ids,
    render,
    require_tools_shown,
    tokenize,
    tokenize_all,
)
from nlp_skills.data.turns import to_messages
from nlp_skills.errors import NotReady, NotValid
from nlp_skills.training.config import TrainConfig

DEFAULT_SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"

Turns = list[tuple[str, str]]


@pytest.fixture(scope="module")
def tokenizer(smollm2: BaseModelFiles) -> Any:
    return load_tokenizer(smollm2)


def example(turns: Turns) -> Example:
    return Example(meta=Meta(id="s-1", source="s"), messages=[Message(*turn) for turn in turns])


def by_string_search(tokenizer: Any, turns: Turns) -> TokenRow:
    """The same by hand: ChatML written out, cut where an answer begins and where its end token ends."""
    if turns[0][0] != "system":
        turns = [("system", DEFAULT_SYSTEM), *turns]
    text = "".join(f"<|im_start|>{role}\n{said}<|im_end|>\n" for role, said in turns)
    ids: list[int] = []
    labels: list[int] = []
    rest, opening, closing = text, "<|im_start|>assistant\n", "<|im_end|>"
    while opening in rest:
        start = rest.index(opening) + len(opening)
        end = rest.index(closing, start) + len(closing)
        before = tokenizer(rest[:start], add_special_tokens=False)["input_ids"]
        answer = tokenizer(rest[start:end], add_special_tokens=False)["input_ids"]
        ids += before + answer
        labels += [IGNORED] * len(before) + answer
        rest = rest[end:]
    return TokenRow(ids, labels)


def trained_text(tokenizer: Any, row: TokenRow) -> str:
    return tokenizer.decode([label for label in row.labels if label != IGNORED])


CONVERSATIONS: dict[str, Turns] = {
    "one turn": [("user", "Is it good?"), ("assistant", "yes")],
    "with a system prompt": [("system", "Say yes or no."), ("user", "Is it good?"), ("assistant", "no")],
    "many turns": [
        ("system", "Be brief."),
        ("user", "Where is my parcel?"),
        ("assistant", "On its way."),
        ("user", "When?"),
        ("assistant", "Tomorrow, before noon."),
        ("user", "Thanks"),
        ("assistant", "You are welcome."),
    ],
    "many turns without a system prompt": [
        ("user", "a"),
        ("assistant", "b"),
        ("user", "c"),
        ("assistant", "d"),
    ],
    "the last turn is a question": [("user", "a"), ("assistant", "b"), ("user", "c")],
    "Chinese": [("system", "判斷情感。"), ("user", "台積電股價大漲，聯電下跌"), ("assistant", "正面")],
    "Japanese and emoji": [("user", "この映画は最高 🎬"), ("assistant", "肯定的 👍")],
    "several lines": [("user", "list\n\nthree\n"), ("assistant", "1. a\n2. b\n\n3. c")],
    "the same words in question and answer": [("user", "assistant\nyes"), ("assistant", "assistant\nyes")],
    "blanks around the answer": [("user", "a"), ("assistant", "  b \n")],
}


@pytest.mark.parametrize("turns", CONVERSATIONS.values(), ids=CONVERSATIONS)
def test_the_answers_with_their_end_tokens_are_trained_and_nothing_else(tokenizer: Any, turns: Turns):
    row = tokenize(tokenizer, example(turns))
    assert row == by_string_search(tokenizer, turns)
    assert trained_text(tokenizer, row) == "".join(
        f"{said}<|im_end|>" for role, said in turns if role == "assistant"
    )
    assert row.trained == sum(label != IGNORED for label in row.labels) > 0
    assert all(label in (IGNORED, token) for token, label in zip(row.input_ids, row.labels, strict=True))


WORDS = st.text(st.characters(codec="utf-8", exclude_characters="<"), min_size=1, max_size=30)


@settings(max_examples=60)
@given(
    system=st.none() | WORDS,
    pairs=st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=3),
)
def test_any_text_is_cut_at_the_same_places_as_by_hand(
    tokenizer: Any, system: str | None, pairs: list[tuple[str, str]]
):
    turns = [("system", system)] if system is not None else []
    for asked, said in pairs:
        turns += [("user", asked), ("assistant", said)]
    assert tokenize(tokenizer, example(turns)) == by_string_search(tokenizer, turns)


@pytest.mark.parametrize("turns", CONVERSATIONS.values(), ids=CONVERSATIONS)
def test_the_row_is_the_whole_conversation_up_to_its_last_answer(tokenizer: Any, turns: Turns):
    last = max(i for i, (role, _) in enumerate(turns) if role == "assistant")
    messages = [{"role": role, "content": said} for role, said in turns[: last + 1]]
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    assert tokenizer.decode(tokenize(tokenizer, example(turns)).input_ids) == text.removesuffix("\n")


def test_the_question_at_evaluation_is_the_one_of_the_training(tokenizer: Any):
    turns = CONVERSATIONS["with a system prompt"]
    row = tokenize(tokenizer, example(turns))
    prompt, answer = prompt_ids(tokenizer, example(turns)), answer_ids(tokenizer, example(turns))
    assert row.input_ids == prompt + answer
    assert row.labels == [IGNORED] * len(prompt) + answer
    assert answer[-1] == tokenizer.eos_token_id


@pytest.mark.parametrize(
    "label", ["positive", "negative", "neutral", "yes", "正面", "負面", "card_payment_fee", "0", "n/a"]
)
def test_every_label_is_learned_to_the_letter_and_then_the_end(tokenizer: Any, label: str):
    row = tokenize(tokenizer, example([("user", "some text"), ("assistant", label)]))
    trained = [token for token in row.labels if token != IGNORED]
    assert tokenizer.decode(trained[:-1]) == label
    assert trained[-1] == tokenizer.eos_token_id
    assert row.labels[-len(trained) :] == trained


def test_nothing_stands_before_the_first_turn_and_no_token_begins_the_text_twice(tokenizer: Any):
    row = tokenize(tokenizer, example(CONVERSATIONS["one turn"]))
    start = tokenizer.convert_tokens_to_ids("<|im_start|>")
    assert row.input_ids[0] == start and row.input_ids[1] != start
    assert row.input_ids.count(start) == 3  # system, user, assistant
    assert encode_text(tokenizer, "") == []


def test_the_end_of_an_answer_is_the_end_token_of_the_template(tokenizer: Any):
    assert tokenizer.convert_tokens_to_ids("<|im_end|>") in end_tokens(tokenizer)
    assert tokenizer.eos_token_id in end_tokens(tokenizer)
    assert tokenizer.pad_token_id is not None


def test_a_template_without_an_end_token_gets_one(tokenizer: Any, smollm2: BaseModelFiles):
    plain = load_tokenizer(smollm2)
    plain.chat_template = (
        "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    row = tokenize(plain, example([("user", "a"), ("assistant", "b")]))
    trained = [token for token in row.labels if token != IGNORED]
    assert trained[-1] == plain.eos_token_id and plain.decode(trained[:-1]).strip() == "b"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (Example(meta=Meta(id="s-7", source="s"), messages=[Message("user", "a")]), "Row s-7 has no answer"),
        (
            Example(meta=Meta(id="s-7", source="s"), prompt=[Message("user", "a")], chosen=[], rejected=[]),
            "Row s-7 has no messages; preference rows cannot be trained with sft",
        ),
        (
            Example(
                meta=Meta(id="s-7", source="s"),
                messages=[
                    Message("user", "a"),
                    Message("assistant", tool_calls=[{"function": {"name": "f"}}]),
                ],
            ),
            "cannot write a conversation of user, assistant with tool calls",
        ),
        (Example(meta=Meta(id="s-7", source="s"), messages=[Message("assistant", "a")]), "of no turns"),
    ],
)
def test_a_row_that_cannot_be_learned_is_refused(tokenizer: Any, row: Example, said: str):
    with pytest.raises(NotValid, match=said):
        tokenize(tokenizer, row)


def test_a_template_that_rewrites_earlier_turns_is_refused(smollm2: BaseModelFiles):
    rewriting = load_tokenizer(smollm2)
    rewriting.chat_template = (
        "{% for m in messages %}{{ loop.length }} {{ m.role }}: {{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}{{ messages | length + 1 }} assistant: {% endif %}"
    )
    with pytest.raises(NotValid, match="Row s-1: the chat template"):
        tokenize(rewriting, example(CONVERSATIONS["many turns"]))


def test_tools_that_the_template_leaves_out_are_an_error(tokenizer: Any) -> None:
    tool = {
        "type": "function",
        "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}},
    }
    row = Example(
        meta=Meta("r-1", "s"), messages=[Message("user", "Rain?"), Message("assistant", "No.")], tools=[tool]
    )
    with pytest.raises(
        NotValid, match="r-1 declares tools, but the base model's chat template does not show tools"
    ):
        require_tools_shown(tokenizer, [row])
    require_tools_shown(tokenizer, [Example(meta=Meta("r-2", "s"), messages=row.messages)])


def one_by_one(tokenizer: Any, row: Example) -> TokenRow:
    """The same in the plainest way: every text rendered and encoded on its own, nothing remembered."""
    closing, ids, labels, done = end_tokens(tokenizer), [], [], ""
    added = False
    messages = row.messages or []
    for index, message in enumerate(messages):
        if message.role != "assistant":
            continue
        prompt = render(tokenizer, messages[:index], row.tools, ask=True)
        full = render(tokenizer, messages[: index + 1], row.tools, ask=False)
        if not prompt.startswith(done):
            raise TurnsRewritten("rewritten")
        if not full.startswith(prompt):
            raise NotValid("no prefix")
        gap = encode_text(tokenizer, prompt[len(done) :])
        answer = encode_text(tokenizer, full[len(prompt) :])
        ends = [i for i, token in enumerate(answer) if token in closing]
        # What stands after an end token up to the last one, blanks aside, is the end of the text and not of the turn.
        while len(ends) > 1 and answer[ends[-1]] != answer[ends[-2]]:
            if tokenizer.decode(answer[ends[-2] + 1 : ends[-1]]).strip():
                break
            ends.pop()
        answer = answer[: ends[-1] + 1] if ends else [*answer, tokenizer.eos_token_id]
        added = added or not ends
        ids += gap + answer
        labels += [IGNORED] * len(gap) + answer
        end, said = tokenizer.convert_ids_to_tokens(answer[-1]), full[len(prompt) :]
        done = prompt + (said[: said.rfind(end) + len(end)] if end in said else said)
    if not ids:
        raise NoAnswer("no answer")
    return TokenRow(ids, labels, added)


def unless_refused(find: Any) -> TokenRow | None:
    try:
        return find()
    except NotValid:
        return None


# Whole and half special tokens, blanks and accents at the edges: where a text that is cut might be encoded otherwise.
PIECES = st.sampled_from(
    ["<|im_end|>", "<|im_start|>", "<|im_", "end|>", "<|eot_id|>", "<s>", "</s>", "<|endoftext|>", "<think>", "</think>", " ", "\n", "\n\n",
     "e\u0301", "é", "中文", "👍", "assistant", " a", "card", "▁", "\u200d", "'s", "123"]
)  # fmt: skip
HOSTILE = st.lists(PIECES | st.text(max_size=8), min_size=0, max_size=6).map("".join)
CONVERSATION = st.lists(
    st.tuples(st.sampled_from(["system", "user", "assistant", "assistant"]), HOSTILE), min_size=1, max_size=6
)


@pytest.fixture(scope="module")
def encoders(tokenizer: Any) -> dict[str, TextEncoder]:
    families = {name: make() for name, make in FAMILIES.items()}
    return {name: TextEncoder(found) for name, found in {"SmolLM2": tokenizer, **families}.items()}


@pytest.mark.parametrize("family", ["SmolLM2", *FAMILIES])
@settings(max_examples=60)
@given(rows=st.lists(CONVERSATION, min_size=1, max_size=4))
def test_many_rows_at_once_give_what_each_row_gives_alone_in_every_family(
    encoders: dict[str, TextEncoder], family: str, rows: list[Turns]
):
    encoder = encoders[family]
    found = tokenize_all(encoder, [example(turns) for turns in rows])
    expected = [unless_refused(partial(one_by_one, encoder.tokenizer, example(turns))) for turns in rows]
    assert [None if isinstance(row, NotValid) else row for row in found] == expected


REAL = {
    "alpaca_zh_demo.json": ("instruction", "output"),
    "gsm8k_test.jsonl": ("question", "answer"),
    "v1_sft_demo.jsonl": ("messages", ""),
}


@pytest.mark.parametrize("name", REAL)
def test_real_rows_at_once_give_what_each_gives_alone(tokenizer: Any, shared_data: Path, name: str):
    text = (shared_data / "instruction_chat" / name).read_text(encoding="utf-8")
    rows = json.loads(text) if name.endswith(".json") else [json.loads(line) for line in text.splitlines()]
    asked, said = REAL[name]
    examples = [
        Example(meta=Meta(id="s-1", source="s"), messages=to_messages(row["messages"]))
        if asked == "messages"
        else example([("system", "Be brief."), ("user", row[asked]), ("assistant", row[said])])
        for row in rows[:300]
    ]
    assert tokenize_all(TextEncoder(tokenizer), examples) == [one_by_one(tokenizer, row) for row in examples]


def test_sections_are_remembered_and_texts_that_cannot_be_cut_are_encoded_whole(
    encoders: dict[str, TextEncoder],
):
    cut = {name: encoder.cuts for name, encoder in encoders.items()}
    assert cut == {
        **{name: ["<|endoftext|>", "<|im_end|>", "<|im_start|>"] for name in encoders},
        "no end token in the template": ["<|endoftext|>", "<|im_end|>"],
        "Llama": ["<|begin_of_text|>", "<|end_header_id|>", "<|eot_id|>", "<|start_header_id|>"],
        "SentencePiece, blank first": [],
        "SentencePiece, blank always": ["</s>", "<s>"],
    }


def test_the_memory_of_sections_is_bounded(tokenizer: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(text_encoder, "REMEMBERED", 50)
    encoder = TextEncoder(tokenizer)
    texts = [f"<|im_start|>user\nnumber {number}<|im_end|>" for number in range(40)]
    assert [encoder.encode([text])[0] for text in texts] == [encode_text(tokenizer, text) for text in texts]
    assert encoder.remembered <= 50 + len(texts[-1])


def test_a_tokenizer_without_any_end_token_is_refused():
    endless = wrap(bytes_tokenizer(), PLAIN, special=["<|x|>"])
    with pytest.raises(NoEnd, match="Row s-1: neither the chat template nor the tokenizer has an end token"):
        tokenize(endless, example([("user", "a"), ("assistant", "b")]))


def test_the_default_length_is_the_one_of_the_training():
    assert TrainConfig().max_length == MAX_LENGTH


def test_the_tokenizer_is_the_one_that_autotokenizer_chooses(smollm2: BaseModelFiles):
    from transformers import AutoTokenizer

    ours, theirs = load_tokenizer(smollm2), AutoTokenizer.from_pretrained(smollm2.path)
    assert type(ours) is type(theirs)
    assert ours.backend_tokenizer.to_str() == theirs.backend_tokenizer.to_str()
    assert ours.special_tokens_map == theirs.special_tokens_map


def test_the_tokenizer_is_there_without_torch(smollm2: BaseModelFiles):
    code = (
        "import sys; from nlp_skills.base_model import local_tokenizer;"
        "found = local_tokenizer('smollm2-135m-instruct'); print(len(found.tokenizer), found.embedding_rows, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["49152", "49152", "False"]


def test_a_hub_model_that_is_not_here_is_not_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        NotReady,
        match=r"not on this machine, and a check downloads nothing\. Fetch it once with: hf download",
    ):
        local_tokenizer("nobody/nothing-of-that-name")
