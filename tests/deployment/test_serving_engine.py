"""Rows that join and leave a running batch get the tokens that they would get alone."""

import queue
import random
import threading
from typing import Any

import pytest

from nlp_skills.deployment.serving.choosing import Sampling
from nlp_skills.deployment.serving.engine import Engine, Job, Said
from nlp_skills.evaluation.predictors.generation import generate
from nlp_skills.evaluation.predictors.predictor import Decoding
from nlp_skills.evaluation.predictors.prompt_cache import PromptCache
from small_model import save_small_model

PAD = 256


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(1)
    load: Any = AutoModelForCausalLM.from_pretrained
    return load(save_small_model(tmp_path_factory.mktemp("model")), dtype=torch.float32).eval()


def make_engine(
    model: Any, *, rows: int = 64, piece: int = 64, ends: frozenset[int] = frozenset(), room=100_000
):
    return Engine(model, PAD, ends, rows=rows, piece=piece, room=room)


class Answer:
    """What one job was told."""

    def __init__(self, prompt: list[int], max_tokens: int, **how: Any) -> None:
        self.told: queue.Queue[Said] = queue.Queue()
        self.job = Job(prompt, max_tokens, Sampling(**how), self.told.put)

    def wait(self) -> list[Said]:
        found = [self.told.get(timeout=60)]
        while found[-1].finish is None:
            found.append(self.told.get(timeout=60))
        return found

    def ids(self) -> list[int]:
        return [said.chosen.id for said in self.wait() if said.chosen]


def alone(model: Any, prompt: list[int], tokens: int, ends: frozenset[int] = frozenset()) -> list[int]:
    """What the evaluation makes of the prompt."""
    how = Decoding(max_new_tokens=tokens, batch_size=1)
    return generate(model, PromptCache(model, PAD, [prompt]), ends, [prompt], how)[0][0].ids


def draw_prompts(
    count: int, shortest: int = 3, longest: int = 40, begin: tuple[int, ...] = ()
) -> list[list[int]]:
    rng = random.Random(count)
    return [[*begin, *rng.choices(range(250), k=rng.randint(shortest, longest))] for _ in range(count)]


def test_rows_of_any_length_that_come_at_any_time_get_the_tokens_that_they_get_alone(model: Any):
    prompts = draw_prompts(40)
    engine = make_engine(model, rows=16)
    answers = [Answer(prompt, 5 + place % 20) for place, prompt in enumerate(prompts)]
    threads = [
        threading.Thread(target=lambda part=part: [engine.submit(a.job) for a in answers[part::4]])
        for part in range(4)
    ]
    for thread in threads:
        thread.start()
    found = [answer.ids() for answer in answers]
    for thread in threads:
        thread.join()
    engine.close()
    assert found == [alone(model, prompt, 5 + place % 20) for place, prompt in enumerate(prompts)]


def test_a_beginning_that_prompts_share_changes_no_token(model: Any):
    prompts = draw_prompts(6, begin=tuple(range(30)))
    engine = make_engine(model)
    found = [Answer(prompt, 6) for prompt in prompts]
    tokens = []
    for answer in found:  # one after the other: the second makes the beginning known, the others use it
        engine.submit(answer.job)
        tokens.append(answer.ids())
    assert engine._beginning.ids[:30] == list(range(30))
    engine.close()
    assert tokens == [alone(model, prompt, 6) for prompt in prompts]


def test_a_long_prompt_is_read_in_pieces_while_others_go_on(model: Any):
    long, short = draw_prompts(1, 500, 500)[0], draw_prompts(1)[0]
    engine = make_engine(model, piece=64)
    order: list[str] = []
    first = Answer(short, 40)
    first.job.tell = lambda said: (order.append("short"), first.told.put(said))
    second = Answer(long, 3)
    second.job.tell = lambda said: (order.append("long"), second.told.put(said))
    engine.submit(first.job)
    engine.submit(second.job)
    found = first.ids(), second.ids()
    engine.close()
    assert found == (alone(model, short, 40), alone(model, long, 3))
    assert order.index("long") >= 500 // 64


def test_rows_of_very_different_length_do_not_share_a_batch(model: Any):
    engine = make_engine(model, piece=1024)
    long, short = draw_prompts(1, 400, 400)[0], draw_prompts(4, 3, 5)
    answers = [Answer(long, 50), *(Answer(prompt, 50) for prompt in short)]
    widest = []
    answers[0].job.tell = lambda said: (
        widest.append([some.batch.mask.shape[1] for some in engine._running]),
        answers[0].told.put(said),
    )
    for answer in answers:
        engine.submit(answer.job)
    found = [answer.ids() for answer in answers]
    engine.close()
    assert found == [alone(model, prompt, 50) for prompt in (long, *short)]
    assert max(map(len, widest)) == 2


def test_an_end_token_ends_an_answer_and_is_told(model: Any):
    prompt = draw_prompts(1)[0]
    plain = alone(model, prompt, 12)
    ends = frozenset({plain[5]})
    engine = make_engine(model, ends=ends)
    answer = Answer(prompt, 12)
    engine.submit(answer.job)
    told = answer.wait()
    engine.close()
    assert [said.chosen.id for said in told if said.chosen] == plain[: plain.index(plain[5]) + 1]
    assert told[-1].finish == "stop"


def test_a_job_that_is_cancelled_leaves_and_the_others_are_as_they_were(model: Any):
    prompts = draw_prompts(3)
    engine = make_engine(model)
    answers = [Answer(prompt, 200) for prompt in prompts]
    for answer in answers:
        engine.submit(answer.job)
    first = answers[1].told.get(timeout=60)
    answers[1].job.cancelled = True
    found = [answers[0].ids(), answers[2].ids()]
    told = [first, *answers[1].wait()]
    engine.close()
    assert found == [alone(model, prompts[0], 200), alone(model, prompts[2], 200)]
    assert (told[-1].finish, len(told) < 200) == ("cancelled", True)


def test_a_seed_gives_the_same_draws_whoever_else_is_there(model: Any):
    prompts = draw_prompts(5)
    engine = make_engine(model)
    how = {"temperature": 0.9, "top_p": 0.9, "seed": 7}
    single = Answer(prompts[0], 20, **how)
    engine.submit(single.job)
    first = single.ids()
    crowd = [Answer(prompt, 20, temperature=1.0) for prompt in prompts[1:]]
    again = Answer(prompts[0], 20, **how)
    for answer in [*crowd[:2], again, *crowd[2:]]:
        engine.submit(answer.job)
    second = again.ids()
    for answer in crowd:
        answer.wait()
    engine.close()
    assert first == second != alone(model, prompts[0], 20)


def test_log_probabilities_are_those_of_the_model(model: Any):
    import torch

    prompt = draw_prompts(1)[0]
    engine = make_engine(model)
    answer = Answer(prompt, 1, logprobs=3)
    engine.submit(answer.job)
    chosen = answer.wait()[0].chosen
    engine.close()
    with torch.inference_mode():
        expected = model(torch.tensor([prompt])).logits[0, -1].log_softmax(-1).topk(3)
    assert chosen is not None
    assert [token for token, _ in chosen.top] == expected.indices.tolist()
    assert [value for _, value in chosen.top] == pytest.approx(expected.values.tolist(), abs=1e-4)
    assert (chosen.id, chosen.logprob) == chosen.top[0]


def test_who_does_not_fit_into_memory_waits_and_is_answered(model: Any):
    prompts = draw_prompts(6, 20, 20)
    engine = make_engine(model, room=150)  # one of them and no second
    most: list[int] = []
    answers = [Answer(prompt, 30) for prompt in prompts]
    for answer in answers:
        answer.job.tell = lambda said, answer=answer: (most.append(engine.running), answer.told.put(said))
        engine.submit(answer.job)
    found = [answer.ids() for answer in answers]
    engine.close()
    assert found == [alone(model, prompt, 30) for prompt in prompts]
    assert max(most) == 1


def _fails(*_: Any) -> Any:
    raise RuntimeError("no room left\nand more")


def _is_no_number(ids: Any) -> Any:
    import torch

    return torch.full((*ids.shape, 32), float("nan"))


NAN = (
    "The model computes no numbers (NaN): its weights are broken. Train it again with a lower learning_rate; if the base"
    " model is broken itself, fetch it again."
)


@pytest.mark.parametrize(("forward", "told"), [(_fails, "no room left"), (_is_no_number, NAN)])
def test_a_failure_of_the_model_is_told_to_its_rows_and_ends_nothing_else(
    model: Any, forward: Any, told: str
):
    engine = make_engine(model)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model.model.embed_tokens, "forward", forward)
        lost = Answer([1, 2, 3], 5)
        engine.submit(lost.job)
        assert lost.wait()[-1] == Said(finish="failed", error=f"the model failed: {told}")
    well = Answer([1, 2, 3], 5)
    engine.submit(well.job)
    assert well.ids() == alone(model, [1, 2, 3], 5)
    engine.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_gpu_that_is_lost_ends_the_engine_and_everybody_is_told_why(model: Any):
    import torch

    def lose(*_: Any) -> Any:
        raise torch.AcceleratorError("CUDA error: device-side assert triggered")

    engine = make_engine(model)
    running = Answer([1, 2, 3], 100_000)
    engine.submit(running.job)
    running.told.get(timeout=60)
    assert engine.fault is None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model.model.embed_tokens, "forward", lose)
        reading = Answer([4, 5], 5)
        engine.submit(reading.job)
        why = "the model failed: CUDA error: device-side assert triggered"
        assert [running.wait()[-1], reading.wait()[-1]] == [Said(finish="failed", error=why)] * 2
    late = Answer([1], 1)
    engine.submit(late.job)
    engine.close()
    assert (late.wait()[-1].error, engine.fault) == (why, why)


def test_an_engine_that_is_closed_tells_everybody(model: Any):
    engine = make_engine(model)
    answers = [Answer(prompt, 100_000) for prompt in draw_prompts(3)]
    for answer in answers:
        engine.submit(answer.job)
    answers[0].told.get(timeout=60)
    engine.close()
    late = Answer([1], 1)
    engine.submit(late.job)
    ends = [answer.wait()[-1] for answer in (*answers, late)]
    assert ends == [Said(finish="failed", error="the server is stopping")] * 4
    assert engine.fault == "the server is stopping"
