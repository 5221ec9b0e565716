"""A GGUF file in llama.cpp: the embedded SmolLM2, beside the same weights in transformers.

The file is quantised (Q4_1). transformers computes with the values that the four bits stand for, llama.cpp rounds
what it multiplies them with to eight bits too, so a log-probability differs by up to a twentieth, or half a nat.
"""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
import torch

from nlp_skills.base_model import BaseModelFiles, _embedded_file
from nlp_skills.data.example import Example, Message, Meta
from nlp_skills.errors import MissingExtra, NotFound, NotValid, RunFailed
from nlp_skills.evaluation.predictors import Decoding, predict
from nlp_skills.evaluation.predictors.gguf import GgufPredictor
from nlp_skills.evaluation.predictors.local import load_local

LABELS = ["yes", "no", "card_payment_fee_charged"]


def example(number: int, text: str, system: str = "Answer with one word.") -> Example:
    turns = [Message("system", system), Message("user", text), Message("assistant", "yes")]
    return Example(meta=Meta(id=f"s-{number}", source="s"), messages=turns)


EXAMPLES = [example(0, "Is water wet?"), example(1, "台積電今天股價大漲，是好消息嗎？")]


@pytest.fixture(scope="module")
def gguf(smollm2: BaseModelFiles) -> Iterator[GgufPredictor]:
    try:
        predictor = GgufPredictor(_embedded_file(smollm2.name), context=512)
    except MissingExtra as error:
        pytest.skip(str(error))
    yield predictor
    predictor.close()


@pytest.mark.slow
def test_choices_have_the_log_probability_that_transformers_gives_them(
    gguf: GgufPredictor, smollm2: BaseModelFiles
) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    choices = [LABELS, ["正面", "yes"]]  # 正面 is four tokens, each half a character
    wanted = load_local(smollm2, None, "float32").score_choices(EXAMPLES, choices)
    found = gguf.score_choices(EXAMPLES, choices)
    torch.set_num_threads(threads)
    for a, b in zip(found, wanted, strict=True):
        assert a == pytest.approx(b, rel=0.05, abs=0.5)


def test_the_same_choices_have_the_same_log_probability_every_time(gguf: GgufPredictor) -> None:
    choices = [[f"label number {n} of the set" for n in range(12)]]
    first = gguf.score_choices(EXAMPLES[:1], choices)
    gguf.score_choices(EXAMPLES[1:], [LABELS])
    assert gguf.score_choices(EXAMPLES[:1], choices) == first


def test_labels_are_scored_and_answers_generated_with_tokens_and_prompts(gguf: GgufPredictor) -> None:
    scored = predict(gguf, EXAMPLES[:1], Decoding(labels=LABELS[:2], batch_size=2))[0]
    logs = gguf.score_choices(EXAMPLES[:1], [LABELS[:2]])[0]
    shares = torch.tensor(logs).softmax(dim=0).tolist()
    assert scored.scores is not None
    assert list(scored.scores.values()) == pytest.approx(shares, abs=0.02)
    assert scored.text == LABELS[logs.index(max(logs))]
    assert (scored.prompt_tokens, scored.tokens) == (23, 2)
    rows = [example(2, "What is the capital of France?"), EXAMPLES[1]]
    written = predict(gguf, rows, Decoding(max_new_tokens=8, batch_size=2))
    assert [a.prompt_sha256 for a in written] == gguf.prompt_hashes(rows)
    assert "Paris" in written[0].text
    assert (written[1].tokens, written[1].cut) == (8, True)


def test_a_row_that_does_not_fit_names_the_room_there_is(gguf: GgufPredictor) -> None:
    with pytest.raises(RunFailed, match=r"3\d\d\d tokens.*context size \(2048 tokens\).*has to be shortened"):
        predict(gguf, [example(0, "long " * 3000)], Decoding(max_new_tokens=4, batch_size=1))


def test_a_file_that_computes_nan_gives_neither_probabilities_nor_words(
    smollm2: BaseModelFiles, tmp_path: Path
) -> None:
    reading = pytest.importorskip("gguf", reason="the serve extra is not installed")
    pytest.importorskip("xllamacpp", reason="the serve extra is not installed")
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(_embedded_file(smollm2.name).read_bytes())
    file = reading.GGUFReader(bad, "r+")
    next(tensor for tensor in file.tensors if tensor.name == "output_norm.weight").data[:] = float("nan")
    file.data.flush()
    broken = GgufPredictor(bad, context=512)
    for how in (Decoding(labels=["yes", "no"], batch_size=1), Decoding(max_new_tokens=4, batch_size=1)):
        with pytest.raises(RunFailed, match=r"bad\.gguf in llama\.cpp computes no numbers"):
            predict(broken, EXAMPLES[:1], how)
    broken.close()


def test_files_that_are_absent_or_no_gguf_are_named(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp", reason="the serve extra is not installed")
    with pytest.raises(NotFound, match="does not exist"):
        GgufPredictor(tmp_path / "none.gguf")
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"GGUF and nothing else")
    with pytest.raises(NotValid, match=r"llama\.cpp cannot load"):
        GgufPredictor(bad)


def test_llama_cpp_answers_nobody_else_on_this_machine(gguf: GgufPredictor) -> None:
    address = str(gguf._client.base_url)
    asked = httpx2.post(f"{address.rstrip('/')}/completion", json={"prompt": "a", "n_predict": 1})
    assert asked.status_code == 401
