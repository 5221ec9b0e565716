"""configs/targets.yaml: read, chosen by name, and no secret or option gets in."""

from pathlib import Path

import pytest
import yaml

from nlp_skills.errors import NotFound, NotReady, NotValid
from nlp_skills.records import to_yaml
from nlp_skills.training.targets import TARGETS, definition, load_target
from nlp_skills.training.targets.definition import SSHTarget, Targets, environment_of, read_target


def declare(task: Path, *targets: dict) -> Path:
    (task / "configs").mkdir(parents=True, exist_ok=True)
    (task / "configs" / "targets.yaml").write_bytes(to_yaml({"targets": list(targets)}))
    return task


def test_example_in_the_module_is_a_target() -> None:
    example = (definition.__doc__ or "").partition("targets:")
    found = Targets.parse(yaml.safe_load(example[1] + example[2]), "the example")
    assert [(target.name, target.type) for target in found.targets] == [("gpu-box", "ssh")]


def test_every_type_has_its_module_and_its_words() -> None:
    declared = {"ssh", "hf_jobs", "skypilot"}
    assert set(TARGETS) == {"local", *declared}
    for kind in TARGETS:
        module = load_target(kind)
        for name in ("start", "refresh", "fetch_log", "stop", "usd_per_hour"):
            assert callable(getattr(module, name))


def test_target_is_chosen_by_name_and_a_near_miss_is_told(tmp_path: Path) -> None:
    task = declare(tmp_path / "t", {"name": "gpu-box", "type": "ssh", "host": "gpu1"})
    assert read_target(task, "gpu-box") == SSHTarget(name="gpu-box", host="gpu1")
    with pytest.raises(
        NotFound, match=r'no target \'gpu-bix\' \(did you mean "gpu-box"\?\)\. Targets: local, gpu-box'
    ):
        read_target(task, "gpu-bix")
    with pytest.raises(NotFound, match=r"Targets: local\. Declare others in .*targets\.yaml"):
        read_target(tmp_path / "none", "gpu-box")
    declare(task, {"name": "a", "type": "ssh", "host": "x"}, {"name": "a", "type": "ssh", "host": "y"})
    with pytest.raises(NotValid, match="two targets have the same name"):
        read_target(task, "a")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("host", "-oProxyCommand=id"),
        ("user", "-v"),
        ("host", "a b"),
        ("name", "../x"),
        ("folder", "~/x"),
        ("folder", "-rf"),
        ("python", "a\nb"),
    ],
)
def test_no_option_and_no_line_end_gets_into_a_command(tmp_path: Path, field: str, value: str) -> None:
    task = declare(tmp_path / "t", {"name": "box", "type": "ssh", "host": "gpu1", field: value})
    with pytest.raises(NotValid, match=rf"target [^:]+: {field}: "):
        read_target(task, "box")


def test_secret_stands_in_the_environment_and_never_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = {"name": "box", "type": "ssh", "host": "gpu1"}
    task = declare(tmp_path / "t", {**box, "environment": {"HF_TOKEN": "aB3dE5fG7hJ9kL1mN3pQ"}})
    with pytest.raises(NotValid, match="HF_TOKEN holds a literal secret") as error:
        read_target(task, "box")
    assert "aB3dE5fG7hJ9" not in str(error.value)
    declare(task, {**box, "environment": {"HF_TOKEN": "${MY_TOKEN}", "HF_HOME": "/data/hf"}})
    target = read_target(task, "box")
    monkeypatch.delenv("MY_TOKEN", raising=False)
    with pytest.raises(NotReady, match=r"MY_TOKEN is not set, and the target box .*export MY_TOKEN="):
        environment_of(target)
    monkeypatch.setenv("MY_TOKEN", "aB3dE5fG7hJ9kL1mN3pQ")
    assert environment_of(target) == {"HF_TOKEN": "aB3dE5fG7hJ9kL1mN3pQ", "HF_HOME": "/data/hf"}
