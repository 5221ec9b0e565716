"""A rented machine through SkyPilot: its YAML by SkyPilot's own schema, and the way of a run with a stand-in for `sky` and a real SSH server.

`sky` itself needs a cloud account. The stand-in does what `sky launch` does for us: it brings file_mounts to the machine,
runs `run` there and writes the machine into ~/.ssh/config; the schema test runs SkyPilot itself, where uvx has it at hand.
"""

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml
from small_task import make_small_task

from nlp_skills.errors import NotReady, RunFailed
from nlp_skills.records import now, sha256_tree, to_yaml
from nlp_skills.training.checkpoints import checkpoints
from nlp_skills.training.job import Job, read_job
from nlp_skills.training.model_info import ModelInfo
from nlp_skills.training.status import TrainingStatus, training_status
from nlp_skills.training.targets.definition import SkyPilotTarget, read_target
from nlp_skills.training.targets.skypilot import sky_task
from nlp_skills.training.train import start_training, stop_training
from sshd import SSHMachine, ssh_machine

__all__ = ["ssh_machine"]

INFRA = ("aws/us-east-1", "gcp", "runpod", "kubernetes")

SSH = """#!{python}
import os, sys
*options, command = sys.argv[1:]
home = "export HOME={machine}; cd {machine}; "
os.execv({ssh!r}, [{ssh!r}, *{known!r}, *options, home + command])
"""

VALIDATE = """
import json, sys
from sky.utils import common_utils, schemas
for task in json.load(sys.stdin):
    common_utils.validate_schema(task, schemas.get_task_schema(), "task: ")
    common_utils.validate_schema(task["resources"], schemas.get_resources_schema(), "resources: ")
print("valid")
"""

UVX = """#!{python}
import os, subprocess, sys
from pathlib import Path
import yaml

words = sys.argv[sys.argv.index("sky") + 1:]
machine, told = Path({machine!r}), Path({told!r})
with told.open("a") as log:
    log.write(" ".join(words) + "\\n")
failing = machine / ("no-" + words[0])
if failing.exists():
    sys.exit("the cloud says: " + failing.read_text())
if words[0] == "launch":
    task = yaml.safe_load(Path(words[-1]).read_text())
    for name in task.get("secrets", {{}}):
        assert os.environ[name] and name in words, name
    (source,) = task["file_mounts"].values()
    home = machine / "nlp-skills"
    subprocess.run(["cp", "-R", source + "/.", str(home)], check=True)
    subprocess.run(["chmod", "-R", "a+rwX", str(home)], check=True)
    cluster = words[words.index("--cluster") + 1]
    subprocess.run(["ssh", cluster, "(" + task["run"].strip() + ") </dev/null >run.log 2>&1 &"], check=True)
if words[0] == "status" and (machine / "gone").exists():
    print("Cluster(s) not found")
elif words[0] == "status":
    print(words[-1] + "  aws  1x  UP")
"""


def declare(task: Path, **changes: object) -> None:
    target = {
        "name": "cloud",
        "type": "skypilot",
        "infra": "aws/us-east-1",
        "accelerators": "L4:1",
        **changes,
    }
    (task / "configs").mkdir(exist_ok=True)
    (task / "configs" / "targets.yaml").write_bytes(to_yaml({"targets": [target]}))


def test_yaml_is_valid_by_skypilots_own_schema(tmp_path: Path) -> None:
    run = {
        "place": "jobs/1/support",
        "version": "v1",
        "requirement": "'./nlp_skills-2.0.0-py3-none-any.whl[train]'",
    }
    tasks = [
        sky_task(
            SkyPilotTarget(
                name="cloud",
                infra=infra,
                accelerators="A100:2" if spot else None,
                cpus="8+",
                memory="32+",
                use_spot=spot,
                environment={"HF_TOKEN": "${HF_TOKEN}"},
            ),
            "nlp-skills-1",
            tmp_path,
            run,
        )
        for infra in INFRA
        for spot in (False, True)
    ]
    assert tasks[1]["resources"] == {
        "infra": "aws/us-east-1",
        "accelerators": "A100:2",
        "cpus": "8+",
        "memory": "32+",
        "disk_size": 100,
        "use_spot": True,
        "autostop": {"idle_minutes": 10, "down": True},
    }
    assert tasks[0]["secrets"] == {"HF_TOKEN": None}
    if shutil.which("uvx") is None:
        pytest.skip("uvx is not installed, so SkyPilot's schema cannot be had")
    command = ["uvx", "--quiet", "--offline", "--from", "skypilot", "python", "-c", VALIDATE]
    done = subprocess.run(command, input=json.dumps(tasks), capture_output=True, text=True, check=False)
    absent = ("sky" not in done.stderr and done.returncode != 0) or "No solution found" in done.stderr
    if absent and not ("CI" in os.environ and "NLP_SKILLS_NO_SKYPILOT" not in os.environ):
        pytest.skip("SkyPilot is not in uv's cache: uvx --from skypilot sky --version fetches it (300 MB)")
    assert done.stdout == "valid\n", done.stderr


def test_run_on_a_rented_machine_goes_on_elsewhere_when_it_is_taken_away_and_is_given_back_at_its_end(
    tmp_path: Path, ssh_machine: SSHMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make_small_task(tmp_path / "tasks", rows=32, epochs=6, per_device_train_batch_size=2, save_steps=4)
    declare(task, use_spot=True, environment={"BOX_TOKEN": "${BOX_TOKEN}"}, usd_per_hour=1.8)
    machine = rented(tmp_path, ssh_machine, monkeypatch)
    monkeypatch.setenv("BOX_TOKEN", "correct-horse-battery-staple-79")
    started = start_training(task, target="cloud", confirm=True)
    assert isinstance(started, TrainingStatus)
    assert (started.target, started.status in ("queued", "running")) == ("cloud", True)
    written = yaml.safe_load((task / "models" / "v1" / "sky.yaml").read_bytes())
    assert (written["resources"]["use_spot"], written["secrets"]) == (True, {"BOX_TOKEN": None})
    work = task / "models" / "v1" / "checkpoints"
    while not checkpoints(work):
        assert training_status(task).status in ("queued", "running")
        threading.Event().wait(0.3)  # every look takes time from the run
    assert stop_training(task).status == "cancelled"
    told = (tmp_path / "told").read_text(encoding="utf-8").splitlines()
    cluster = f"nlp-skills-{read_job(task / 'versions' / 'v1').id}"  # type: ignore[union-attr]
    assert told[-1] == f"down --yes {cluster}"

    take_away(machine)
    start_training(task, target="cloud", confirm=True)
    while (status := training_status(task)).status in ("queued", "running"):
        threading.Event().wait(0.3)
    assert status.status == "succeeded", status
    job = read_job(task / "versions" / "v1")
    assert job is not None
    assert (job.resumed, job.target) == (1, "skypilot")
    info = ModelInfo.load(task / "versions" / "v1" / "model_info.json")
    assert info.sha256 == sha256_tree(task / info.path)
    assert (tmp_path / "told").read_text(encoding="utf-8").splitlines()[-1] == f"down --yes {cluster}"


def rented(tmp_path: Path, ssh_machine: SSHMachine, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `uvx` that rents the SSH server of the tests, and an `ssh` that knows it by the cluster's name."""
    machine = ssh_machine.folder / tmp_path.name
    (machine / "nlp-skills" / "environment" / "bin").mkdir(parents=True)
    (machine / "nlp-skills" / "environment" / "bin" / "python").write_text(
        f'#!/bin/sh\nexec {ssh_machine.target.python} "$@"\n', encoding="utf-8"
    )
    programs = tmp_path / "programs"
    programs.mkdir()
    target = ssh_machine.target
    known = ["-p", str(target.port), "-i", str(target.identity_file)]
    known += [
        "-o",
        f"UserKnownHostsFile={target.known_hosts_file}",
        "-o",
        "HostName=127.0.0.1",
        "-o",
        f"User={target.user}",
    ]
    scripts = {
        "uvx": UVX.format(python=sys.executable, machine=str(machine), told=str(tmp_path / "told")),
        "ssh": SSH.format(python=sys.executable, machine=machine, ssh=shutil.which("ssh"), known=known),
    }
    for name, text in scripts.items():
        (programs / name).write_text(text, encoding="utf-8")
        (programs / name).chmod(0o755)
    (machine / "nlp-skills" / "environment" / "bin" / "python").chmod(0o755)
    give(machine, ssh_machine.user)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    return machine


def give(folder: Path, user: str | None) -> None:
    for path in (folder, *folder.rglob("*")):
        if user is not None:
            shutil.chown(path, user)


def take_away(machine: Path) -> None:
    """The next machine is a new one."""
    shutil.rmtree(machine / "nlp-skills" / "jobs")


def test_uvx_that_is_not_here_is_told_with_the_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = make_small_task(tmp_path / "tasks")
    declare(task)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        NotReady, match=r"SkyPilot runs through uvx, which is not here\. Install uv: pip install uv"
    ):
        start_training(task, target="cloud", confirm=True)
    assert read_target(task, "cloud").type == "skypilot"


def told_to_sky(tmp_path: Path) -> list[str]:
    return (tmp_path / "told").read_text(encoding="utf-8").splitlines()


def job_of(task: Path) -> Job:
    job = read_job(task / "versions" / "v1")
    assert job is not None
    return job


def test_machine_of_a_launch_that_failed_is_given_back_and_that_is_tried_until_it_is_done(
    tmp_path: Path, ssh_machine: SSHMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make_small_task(tmp_path / "tasks")
    declare(task)
    machine = rented(tmp_path, ssh_machine, monkeypatch)
    (machine / "no-launch").write_text("no capacity", encoding="utf-8")
    (machine / "no-down").write_text("try later", encoding="utf-8")
    with pytest.raises(RunFailed, match="cloud: sky launch failed: the cloud says: no capacity"):
        start_training(task, target="cloud", confirm=True)
    cluster = f"nlp-skills-{job_of(task).id}"
    told = (
        "The rented machine could not be given back (cloud: sky down failed: the cloud says: try later), and costs"
        f" money. Ask training-status again, or do it by hand: sky down {cluster}"
    )
    status = training_status(task)
    assert (status.status, status.warnings) == ("failed", [told])
    (machine / "no-down").unlink()
    status = training_status(task)
    assert (status.status, status.warnings) == ("failed", [])
    assert training_status(task) == status
    downs = [words for words in told_to_sky(tmp_path) if words.startswith("down")]
    assert downs == [f"down --yes {cluster}"] * 3
    assert "rented" not in job_of(task).remote


def test_stop_gives_the_machine_back_though_it_does_not_answer(
    tmp_path: Path, ssh_machine: SSHMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make_small_task(tmp_path / "tasks")
    declare(task)
    rented(tmp_path, ssh_machine, monkeypatch)
    remote = {
        "target": "cloud",
        "host": "nlp-skills-a",
        "folder": "f",
        "python": "/bin/false",
        "rented": "yes",
    }
    running = Job(id="a", target="skypilot", remote=remote, status="running", started=now(), log="x")
    running.save(task / "versions" / "v1" / "job.json")
    (tmp_path / "programs" / "ssh").write_text("#!/bin/sh\nexit 255\n", encoding="utf-8")
    stopped = stop_training(task)
    assert stopped.status == "cancelled"
    assert stopped.warnings[0].startswith(
        "What came after the newest checkpoint here is lost: cloud (nlp-skills-a)"
    )
    assert told_to_sky(tmp_path) == ["status --refresh nlp-skills-a", "down --yes nlp-skills-a"]
    assert "rented" not in job_of(task).remote
