"""A task whose v1 says what it was built to say, and a server in front of it: for what a server does.

The weights are planted: after any token but those below comes the beginning of a tool call, then its parts, then
the end. `go ` is followed by itself for ever. A real transformers model, with a tokenizer of bytes.
"""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nlp_skills.deployment.serving.app import Limits, build_app
from nlp_skills.deployment.serving.backend import Backend
from nlp_skills.deployment.serving.http_server import listen, make_server
from nlp_skills.records import sha256_tree
from nlp_skills.task.task import TaskType, create_task
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.model_info import ModelInfo
from small_model import small_tokenizer

CALL = ('{"name": "get_weather", ', '"arguments": {"city": ', '"台北"}}')
LOOP = "go "

CHATML = (
    "{% if tools %}{{ tools | tojson }}\n{% endif %}{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.tool_calls %}{{ m.tool_calls | tojson }}{% else %}{{ m.content }}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""Shows tools, and the calls that were made."""


def save_planted_model(folder: Path) -> Path:
    """One layer that adds nothing: the next token depends on the last one alone."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    plain = small_tokenizer()
    plain.save_pretrained(folder)
    tokenizer: Any = PreTrainedTokenizerFast.from_pretrained(folder)
    tokenizer.add_tokens([*CALL, LOOP])
    tokenizer.chat_template = CHATML
    size = -(-len(tokenizer) // 8) * 8
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=size,
            hidden_size=size,
            intermediate_size=8,
            num_hidden_layers=1,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=2048,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=None,
            tie_word_embeddings=False,
        )
    )
    first, second, third, loop = (tokenizer.convert_tokens_to_ids(name) for name in (*CALL, LOOP))
    after = torch.full((size,), first)
    after[[first, second, third, loop]] = torch.tensor([second, third, tokenizer.eos_token_id, loop])
    weights = model.state_dict()
    for name, value in weights.items():
        value.copy_(torch.ones_like(value) if "norm" in name else torch.zeros_like(value))
    weights["model.embed_tokens.weight"].copy_(torch.eye(size))
    weights["lm_head.weight"][after, torch.arange(size)] = 1
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_served_task(home: Path, **settings: Any) -> Path:
    """The task's folder; `settings` are config.yaml's."""
    create_task(home / "tasks", "small", type=TaskType.TOOL_USE, goal="g", base_model="base")
    task = home / "tasks" / "small"
    weights = save_planted_model(task / "models" / "v1" / "model")
    config = TrainConfig(base_model=str(weights), peft="none", dtype="float32", threads=1)
    config.with_changes(**settings).save(task / "versions" / "v1" / "config.yaml")
    ModelInfo(
        path="models/v1/model",
        format="merged",
        sha256=sha256_tree(weights),
        base_model=str(weights),
        chat_template_sha256="",
        trainable_parameters=1,
        total_parameters=1,
    ).save(task / "versions" / "v1" / "model_info.json")
    return task


@contextmanager
def serving(
    backend: Backend, *, key: str | None = None, local: bool = False, limits: Limits | None = None
) -> Iterator[str]:
    """The address, up to /v1, while the block runs; its end waits for the answers that are under way."""
    app = build_app(backend, ["small:v1", "small"], created=1, key=key, local=local, limits=limits)
    most = (limits or Limits()).streams + (limits or Limits()).other_connections
    with running(app, backend, connections=most) as address:
        yield address


@contextmanager
def running(app: Any, backend: Backend | None = None, *, connections: int = 128) -> Iterator[str]:
    """An application on loopback; its backend is closed when it has ended."""
    listening = listen("127.0.0.1", 0)
    server = make_server(app, backend.fault if backend else _well, connections=connections)

    async def serve() -> None:
        try:
            await server.serve(sockets=[listening])
        finally:
            if backend:
                await backend.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
    finally:
        server.should_exit = True
        thread.join()


async def _well() -> None:
    """What has no model has none that fails."""
