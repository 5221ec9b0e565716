"""What is deployed, as it can be asked for its prompts: a GGUF file in llama.cpp, a model in Ollama, a folder.

file     /apply-template ─▶ /tokenize                    and the count of a request that is really answered
Ollama   its own rendering ─▶ the file's /tokenize       and Ollama's count of such a request
folder   its own tokenizer
"""

from __future__ import annotations

from typing import Any, Protocol

from nlp_skills.data.example import Example
from nlp_skills.data.text_encoder import TextEncoder
from nlp_skills.deployment.ollama.models import ollama_show
from nlp_skills.deployment.ollama.rendering import render_chat
from nlp_skills.deployment.parity.causes import Prompt
from nlp_skills.deployment.parity.conversations import Trainer
from nlp_skills.errors import NotValid, RunFailed
from nlp_skills.evaluation.predictors import Decoding
from nlp_skills.evaluation.predictors.gguf import GgufPredictor
from nlp_skills.evaluation.predictors.ollama import OllamaPredictor, without_ids

ONE_TOKEN = Decoding(max_new_tokens=1, batch_size=1)


class Served(Protocol):
    """One place where prompts are made."""

    where: str
    counts: bool
    """Whether it tells how many tokens it has read, which shows a BOS that is added, and a prompt that is cut."""

    def prompt(self, example: Example) -> Prompt:
        """The prompt that it makes of a conversation. Raises NotValid for one that it refuses."""
        ...

    def ends(self, token: int) -> bool:
        """Whether an answer ends with this token."""
        ...


class ServedFile:
    """A GGUF file in llama.cpp."""

    counts = True

    def __init__(self, file: GgufPredictor) -> None:
        self.where = "the file's own template in llama.cpp"
        self._file = file

    def prompt(self, example: Example) -> Prompt:
        """With the BOS that llama.cpp adds."""
        try:
            text = self._file.rendered(example)
        except RunFailed as error:
            raise NotValid(f"The file's template cannot write this conversation: {error}") from None
        return Prompt(text, self._file.token_ids(text, add_special=True), self._file.counted(text))

    def ends(self, token: int) -> bool:
        """The model is made to say it."""
        return self._file.ends_answer(token)


class ServedByOllama:
    """A model in Ollama; `file` is the GGUF file that it was made of."""

    counts = True

    def __init__(self, model: OllamaPredictor, name: str, file: GgufPredictor) -> None:
        self.where = f"{name} in Ollama"
        self._model = model
        self._file = file
        self._stops = ollama_show(name).settings.get("stop", [])

    def prompt(self, example: Example) -> Prompt:
        """As Ollama tells it; the tokens are llama.cpp's, which runs in it."""
        asked = self._model.asked(example)
        text = self._rendered(asked, asked["messages"])
        plain = without_ids(asked["messages"])
        is_sent = plain == asked["messages"] or self._rendered(asked, plain) == text
        return Prompt(
            text, self._file.token_ids(text, add_special=True), self._counted(example) if is_sent else None
        )

    def _rendered(self, asked: dict[str, Any], messages: list[dict[str, Any]]) -> str:
        return render_chat(asked["model"], messages, tools=asked.get("tools"), think=asked.get("think"))

    def _counted(self, example: Example) -> int | None:
        """None where Ollama does not tell, and for what its client, which is no part of it, cannot send whole."""
        try:
            ((_, answered),) = self._model.answer([example], ONE_TOKEN)
        except NotValid:
            return None
        return answered.prompt_tokens

    def ends(self, token: int) -> bool:
        """By the file, or by a PARAMETER stop whose text is written."""
        return self._file.ends_answer(token, self._stops)


class ServedFolder:
    """A whole model in a folder, as transformers and vLLM read it."""

    counts = False

    def __init__(self, tokenizer: Any, trainer: Trainer, ends: set[int]) -> None:
        """`ends`: the tokens that the folder itself says end an answer (endings.ends_of)."""
        self.where = "the folder's own tokenizer and chat template"
        self._trainer = Trainer(tokenizer, trainer.config)
        self._encoder = TextEncoder(tokenizer)
        self._ends = ends

    def prompt(self, example: Example) -> Prompt:
        """By its tokenizer."""
        text = self._trainer.text(example)
        return Prompt(text, self._encoder.encode([text])[0])

    def ends(self, token: int) -> bool:
        """As servers read it: the generation config alone decides."""
        return token in self._ends
