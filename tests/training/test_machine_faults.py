"""What is wrong with the machine is said before a run: versions, arguments that an installed library does not know."""

from dataclasses import dataclass

from nlp_skills.training.config import TrainConfig
from nlp_skills.training.preflight.machine_faults import hub_findings, unknown_arguments, wrong_versions

ASKED = (
    "pydantic>=2",
    "trl<2,>=1.16; extra == 'train'",
    "peft>=0.21; extra == 'train'",
    "mlflow>=3; extra == 'track'",
    "bitsandbytes>=0.50; sys_platform == 'none' and extra == 'train'",
)


def test_versions_that_do_not_fit_are_told_with_the_command():
    installed = {"trl": "0.24.0", "peft": "0.21.2", "mlflow": "1.0", "pydantic": "1.0", "bitsandbytes": "0.1"}
    found = list(wrong_versions(ASKED, installed.get))
    assert [(f.check, f.level, f.message) for f in found] == [
        ("ENV-DOCTOR", "warning", "trl 0.24.0 is installed; this library is made for trl<2,>=1.16.")
    ]
    assert found[0].fix == "Install it with: uv pip install 'trl<2,>=1.16'"


def test_a_package_that_is_not_installed_is_no_wrong_version():
    assert list(wrong_versions(ASKED, {}.get)) == []


@dataclass
class OldConfig:
    """Of a library from before max_seq_length was renamed."""

    learning_rate: float = 1e-4
    max_seq_length: int = 1024


def test_arguments_that_are_not_known_are_named():
    found = list(unknown_arguments({"learning_rate", "max_length", "beta"}, OldConfig, "pytest"))
    assert [(f.check, f.level) for f in found] == [("ENV-API", "error")]
    assert found[0].message.startswith("OldConfig of pytest ")
    assert found[0].message.endswith(" has no beta, max_length.")
    assert list(unknown_arguments({"learning_rate"}, OldConfig, "pytest")) == []


def test_the_hub_is_not_asked_for_what_lies_here(tmp_path):
    for name in ("smollm2-135m-instruct", str(tmp_path), "model.gguf"):
        assert list(hub_findings(TrainConfig(base_model=name), False)) == []
    assert list(hub_findings(TrainConfig(base_model="v1"), True)) == []
