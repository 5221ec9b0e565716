"""What a server tells Prometheus: requests by status, tokens, how long the first token and the whole answer took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from nlp_skills.errors import MissingExtra

SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
"""Upper bounds of the histograms' buckets."""


def require_serving() -> None:
    """Raises MissingExtra unless what a server needs is installed."""
    from importlib.util import find_spec

    if any(find_spec(name) is None for name in ("prometheus_client", "starlette", "uvicorn")):
        raise MissingExtra("Serving a model", "serve")


class Measures:
    """Counters and histograms of one server, in a registry of their own."""

    def __init__(self, under_way: Callable[[], float]) -> None:
        """`under_way` says how many answers there are at this moment."""
        import prometheus_client as prometheus

        self._registry = prometheus.CollectorRegistry()
        own: Any = {"registry": self._registry, "namespace": "nlp_skills"}
        self.requests = prometheus.Counter(
            "requests", "Requests by path and status.", ["path", "status"], **own
        )
        self.prompt_tokens = prometheus.Counter("prompt_tokens", "Tokens of prompts.", **own)
        self.tokens = prometheus.Counter("answer_tokens", "Tokens of answers.", **own)
        self.cancelled = prometheus.Counter("cancelled", "Answers whose client went away.", **own)
        self.failed = prometheus.Counter("failed", "Answers that the model broke off.", **own)
        self.first_token = prometheus.Histogram(
            "first_token_seconds", "From the request to its first token.", buckets=SECONDS, **own
        )
        self.answer = prometheus.Histogram(
            "answer_seconds", "From the request to the end of its answer.", buckets=SECONDS, **own
        )
        prometheus.Gauge("under_way", "Answers under way.", **own).set_function(under_way)

    def totals(self) -> dict[str, Any]:
        """What it comes to, as `Served` has it: requests for an answer, by status, and what became of them."""
        samples = [sample for family in self._registry.collect() for sample in family.samples]
        statuses: Counter[str] = Counter()
        for sample in samples:
            if sample.name == "nlp_skills_requests_total" and "completions" in sample.labels["path"]:
                statuses[sample.labels["status"]] += int(sample.value)
        counts = {
            name: int(next(sample.value for sample in samples if sample.name == f"nlp_skills_{told}"))
            for name, told in (
                ("answered", "answer_seconds_count"),
                ("failed", "failed_total"),
                ("cancelled", "cancelled_total"),
                ("tokens", "answer_tokens_total"),
            )
        }
        return {"requests": statuses.total(), "statuses": dict(sorted(statuses.items())), **counts}

    def page(self) -> tuple[bytes, str]:
        """The text that Prometheus fetches, and its content type."""
        import prometheus_client as prometheus

        return prometheus.generate_latest(self._registry), prometheus.CONTENT_TYPE_LATEST
