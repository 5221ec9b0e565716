"""Whatever answers, behind one interface: `open_predictor` makes it of a reference, `predict` asks it."""

from __future__ import annotations

from nlp_skills.evaluation.predictors.opening import open_predictor
from nlp_skills.evaluation.predictors.predict import predict
from nlp_skills.evaluation.predictors.predictor import Answered, Decoding, Predictor

__all__ = ["Answered", "Decoding", "Predictor", "open_predictor", "predict"]
