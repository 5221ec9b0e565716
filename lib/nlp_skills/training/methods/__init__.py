"""How a run is built, by `method` in config.yaml: one file for each method.

A method's module has `build_trainer(config, model, tokenizer, rows, output, callbacks)`, and is imported only
when it is the one: it imports torch and TRL.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

METHODS = {"sft": "nlp_skills.training.methods.sft"}
"""Method → its module."""


def load_method(method: str) -> ModuleType:
    """The method's module; takes some seconds the first time."""
    return import_module(METHODS[method])
