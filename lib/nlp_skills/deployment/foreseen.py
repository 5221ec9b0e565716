"""Whether a deployment can be put where it is to go: asked before anything long begins, and told by a dry run."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from nlp_skills.data.sources.generation.ollama_server import ollama_url
from nlp_skills.deployment.deploy_plan import Plan, copied_to
from nlp_skills.deployment.hub import require_writable
from nlp_skills.deployment.ollama.candidate import is_candidate
from nlp_skills.deployment.ollama.connection import is_this_machine
from nlp_skills.deployment.ollama.models import ollama_list_models
from nlp_skills.deployment.ollama.names import with_tag
from nlp_skills.deployment.ollama.status import ollama_version
from nlp_skills.errors import AlreadyExists, NlpSkillsError, sized
from nlp_skills.task.registry import read_registry


def require_free(plan: Plan) -> None:
    """Raises AlreadyExists for what is somebody else's there, NotReady where nobody answers or may write, MissingExtra."""
    if plan.to == "ollama":
        there, ours = _in_ollama(), _ours(plan)
        own = plan.name.lower().partition(":")[0] == plan.task.name
        taken = [name for name in plan.names_in_ollama if name.lower() in there - ours]
        if taken and not own:
            raise AlreadyExists(
                f"Ollama has a model {taken[0]} already, which was not deployed from here. Take another --name."
            )
    elif plan.to == "hub":
        require_writable(plan.name)
    elif (target := copied_to(plan)) is not None and target.exists():
        raise AlreadyExists(f"{target} is there already and is left as it is. Take another --name.")


def foreseen(plan: Plan) -> str:
    """What stands against it at this moment, or what it would meet."""
    try:
        require_free(plan)
        met = [*_met_in_ollama(plan), *_room(plan)]
    except NlpSkillsError as error:
        return f"It would be refused now: {error}"
    return " ".join([*_cut_off(plan), *met])


def _in_ollama() -> set[str]:
    return {model.name.lower() for model in ollama_list_models().models}


def _ours(plan: Plan) -> set[str]:
    """What was deployed from here to this Ollama, or was to be."""
    known = [
        d
        for d in read_registry(plan.task).deployments
        if d.target == "ollama" and d.host in (None, ollama_url())
    ]
    tagged = {with_tag(d.name, d.alias).lower() for d in known if d.alias}
    return tagged | {d.name.lower() for d in known}


def _met_in_ollama(plan: Plan) -> list[str]:
    if plan.to != "ollama":
        return []
    there = _in_ollama()
    taken = [name for name in plan.names_in_ollama if name.lower() in there]
    said = f"{' and '.join(taken)} would be replaced there" if taken else f"{plan.name} is free there"
    left = sorted(name for name in there if is_candidate(name, plan.name))
    also = [
        f"{name} is there of a run that is under way, or was cut off (nlp-skills ollama-remove {name} --confirm)."
        for name in left
    ]
    return [f"Ollama {ollama_version()} answers at {ollama_url()}; {said}.", *also]


def _room(plan: Plan) -> list[str]:
    """How large it is beside what is free, where both can be known from here."""
    folder = _goes_to(plan)
    if plan.to == "hub" or (plan.to != "ollama" and folder is None):
        return []
    file = plan.own_place
    takes = (
        f"It takes {sized(file.stat().st_size)}" if file.is_file() else "Its size is known once it is made"
    )
    if folder is None:
        return [f"{takes}; how much is free there cannot be seen from here."]
    free = shutil.disk_usage(folder).free
    short = file.is_file() and free < file.stat().st_size
    return [f"{takes}; {sized(free)} are free in {folder}{', which is not enough' if short else ''}."]


def _goes_to(plan: Plan) -> Path | None:
    """The folder that is there already and takes it."""
    if plan.to != "ollama":
        target = copied_to(plan)
        return None if target is None else next(one for one in target.absolute().parents if one.is_dir())
    models = Path(os.environ.get("OLLAMA_MODELS") or "~/.ollama/models").expanduser()
    return models if is_this_machine(ollama_url()) and models.is_dir() else None


def _cut_off(plan: Plan) -> list[str]:
    """A run that was killed while it put something there."""
    names = [d for d in read_registry(plan.task).deployments if d.under_way and d.target == plan.to]
    return [
        f"A deployment of {d.version} there was begun on {d.created} and not finished: nobody knows what {d.name} is now."
        for d in names
        if d.name == recorded_name(plan)
    ]


def recorded_name(plan: Plan) -> str:
    """As registry.json has it: of a copy the whole path, wherever somebody stood who asked for it."""
    target = copied_to(plan)
    return plan.name if target is None else str(target.resolve())
