"""Before a run is sent to the Hub it is asked what the token may do there."""

from typing import Any

import pytest

from nlp_skills.training.preflight.hub_rights import missing_right, rights_findings


def who(role: str, scoped: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """What the Hub answers to whoami."""
    token = {"role": role, "displayName": "t", **({"fineGrained": {"scoped": scoped}} if scoped else {})}
    return {"name": "ann", "orgs": [{"name": "acme"}], "auth": {"accessToken": token}}


def scope(name: str, *permissions: str) -> dict[str, Any]:
    return {"entity": {"type": "user", "name": name}, "permissions": list(permissions)}


@pytest.mark.parametrize(
    ("told", "namespace", "lacks"),
    [
        (who("write"), None, None),
        (who("write"), "acme", None),
        (who("write"), "others", "the token's user ann is no member of others"),
        (who("read"), None, "the token may only read"),
        (who("fineGrained", [scope("ann", "repo.write", "job.write")]), None, None),
        (who("fineGrained", [scope("ann", "repo.write")]), None, "the token lacks job.write for ann"),
        (
            who("fineGrained", [scope("ann", "repo.write", "job.write")]),
            "acme",
            "the token lacks repo.write and job.write for acme",
        ),
    ],
)
def test_what_a_token_lacks_is_named(told: dict[str, Any], namespace: str | None, lacks: str | None) -> None:
    assert missing_right(told, namespace) == lacks


def test_without_a_token_the_cure_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    (found,) = rights_findings(None)
    assert (found.check, found.level) == ("HUB-ACCESS", "error")
    assert found.message == "The run would be sent to the Hub, and there is no token."
    assert found.fix.endswith("log in with it: hf auth login")
