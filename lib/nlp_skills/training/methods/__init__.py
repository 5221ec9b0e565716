"""METHODS: the ways in which a model learns, by `method` in config.yaml; one file for each.

A method's module is imported only when it is the one, because it imports torch and TRL. It has

    tokenize(tokenizer, examples, config, file=…, cure=…)                 rows, each with `length` and `trained` in tokens
    build_trainer(config, model, tokenizer, rows, output, callbacks)      a trainer of transformers
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

METHODS = {
    "sft": "nlp_skills.training.methods.sft",
    "cpt": "nlp_skills.training.methods.cpt",
    "dpo": "nlp_skills.training.methods.dpo",
    "orpo": "nlp_skills.training.methods.orpo",
    "kto": "nlp_skills.training.methods.kto",
    "grpo": "nlp_skills.training.methods.grpo",
}
"""Method → its module."""


def load_method(method: str) -> ModuleType:
    """The method's module; takes some seconds the first time."""
    return import_module(METHODS[method])
