"""MORE-ROWS-HELP: what the learning curve of this version's settings and rows has said, where one was measured."""

from __future__ import annotations

from collections.abc import Iterator

from nlp_skills.errors import NotReady, counted
from nlp_skills.evaluation.diagnosis.causes import figure, name_cause
from nlp_skills.evaluation.diagnosis.curve import LearningCurve, curve_key
from nlp_skills.evaluation.diagnosis.material import Material
from nlp_skills.evaluation.diagnosis.record import Cause


def more_rows(material: Material) -> Iterator[Cause]:
    """The record of measure_learning_curve. Raises NotReady where there is none for these rows and settings."""
    key = curve_key(material.task, material.config)
    file = f"benchmarks/learning-curve-{key}/curve.json"
    if not (material.task / file).is_file():
        raise NotReady(
            f"no learning curve was measured: nlp-skills measure-learning-curve {material.name} --version {material.version}"
        )
    curve = LearningCurve.load(material.task / file)
    if curve.forecast is None or curve.forecast.verdict != "more rows help":
        return
    expected = (
        f" Twice the rows are expected to bring {curve.forecast.at_double:.3f}."
        if curve.forecast.at_double is not None
        else ""
    )
    yield name_cause(
        material,
        "MORE-ROWS-HELP",
        f"{curve.forecast.reason}{expected}",
        "some",
        [
            figure(f"{curve.metric} with {counted(point.rows, 'row')}", point.score.value, file)
            for point in curve.points
        ],
    )
