"""httpx2 logs the URL of every request; here it does so without the secrets in it."""

from __future__ import annotations

import logging

import httpx2

from nlp_skills.data.secret import hide
from nlp_skills.data.sources.web.shown import show_url


class _WithoutSecrets(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        """Every record passes, its URLs as they may be shown."""
        if isinstance(record.args, tuple):
            record.args = tuple(
                show_url(str(arg)) if isinstance(arg, httpx2.URL) else arg for arg in record.args
            )
        record.msg = hide(str(record.msg))
        return True


_FILTER = _WithoutSecrets()


def keep_secrets_out_of_the_log() -> None:
    """From now on, in this process; called again it changes nothing."""
    logging.getLogger("httpx2").addFilter(_FILTER)
