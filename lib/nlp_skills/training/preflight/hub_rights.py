"""HUB-ACCESS where a run is sent to the Hub: whether the token may write repositories and start jobs there (P26)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import httpx2

from nlp_skills.data.report import Finding

NEEDED = ("repo.write", "job.write")
"""Of a fine-grained token: the private repository that the run goes through, and the job."""


def rights_findings(namespace: str | None) -> Iterator[Finding]:
    """Asks the Hub who the token is; `namespace`: the user or organisation that pays, None: oneself. No token is shown."""
    from huggingface_hub import HfApi, constants, get_token
    from huggingface_hub.errors import HfHubHTTPError

    token = get_token()
    reason: str | None = "there is no token"
    if constants.HF_HUB_OFFLINE:
        reason = "HF_HUB_OFFLINE is set, so the Hub cannot be asked"
    elif token:
        try:
            reason = missing_right(HfApi(endpoint=constants.ENDPOINT, token=token).whoami(), namespace)
        except (HfHubHTTPError, httpx2.HTTPError) as error:
            reason = f"the Hub does not say whose the token is ({type(error).__name__})"
    if reason:
        yield Finding(
            check="HUB-ACCESS",
            level="error",
            message=f"The run would be sent to the Hub, and {reason}.",
            count=0,
            fix="Make a token with the role write at https://huggingface.co/settings/tokens, and log in with it: hf auth login",
        )


def missing_right(
    who: Mapping[str, Any],
    namespace: str | None,
    needed: Sequence[str] = NEEDED,
    repository: str | None = None,
) -> str | None:
    """What a token lacks in that namespace, or for that one repository of it; None: nothing.

    `who` is the Hub's answer to whoami. Roles and permissions as https://huggingface.co/docs/hub/security-tokens names
    them.
    """
    place = namespace or str(who.get("name"))
    if place not in (who.get("name"), *(org.get("name") for org in who.get("orgs") or ())):
        return f"the token's user {who.get('name')} is no member of {place}"
    token = (who.get("auth") or {}).get("accessToken") or {}
    if token.get("role") == "read":
        return "the token may only read"
    if token.get("role") != "fineGrained":
        return None
    scopes = (token.get("fineGrained") or {}).get("scoped") or ()
    given = {
        permission
        for scope in scopes
        if scope.get("entity", {}).get("name") in (place, repository)
        for permission in scope.get("permissions") or ()
    }
    lacking = [name for name in needed if name not in given]
    return f"the token lacks {' and '.join(lacking)} for {place}" if lacking else None
