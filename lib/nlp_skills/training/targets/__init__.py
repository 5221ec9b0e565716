"""TARGETS: where a run can take place, by `type` in configs/targets.yaml; one file for each kind of place.

A target's module has

    start(task, folder, target)         begin or go on with the version's run there, and come back
    refresh(task, folder, job) -> Job   bring job.json and metrics.jsonl up to date; pull the model when the run has ended well
    fetch_log(task, folder, job)        bring train.log up to date
    stop(task, folder, job)             end the run; its checkpoints stay
    usd_per_hour(target) -> float?      the price, where it is known

`folder` is the version's; `target` is None for this machine.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

TARGETS = {
    "local": "nlp_skills.training.targets.local",
    "ssh": "nlp_skills.training.targets.ssh",
    "hf_jobs": "nlp_skills.training.targets.hf_jobs",
    "skypilot": "nlp_skills.training.targets.skypilot",
}
"""Type → its module, imported when it is used."""


def load_target(kind: str) -> ModuleType:
    """The target's module."""
    return import_module(TARGETS[kind])
