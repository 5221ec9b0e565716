"""What needs no fine-tuning: the numbers that a tuned model has to beat.

majority       always the most frequent answer of the training rows
tfidf          TF-IDF with logistic regression; for free text the answer of the most similar training row
longer_answer  of two answers always the longer one, which people often prefer (preferences)

The base model with a prompt, with solved rows before the question, and an endpoint: baseline_answers.py.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from nlp_skills.data.example import Example
from nlp_skills.evaluation.marking import preference_texts
from nlp_skills.evaluation.metrics.preference import CHOSEN, REJECTED
from nlp_skills.evaluation.results import Prediction

Answers = list[str]
COMPARED_AT_ONCE = 100
"""Test rows beside all training rows: nearly every pair shares a word, so that the similarities of all pairs of ten
thousand rows would take more than a gigabyte."""


def majority(train: Sequence[Example], test: Sequence[Example]) -> Answers:
    """The most frequent answer of the training rows, every time; ties go to the first in the alphabet."""
    counts = Counter(example.output_text for example in train)
    answer = min(counts, key=lambda text: (-counts[text], text))
    return [answer] * len(test)


def tfidf_classifier(train: Sequence[Example], test: Sequence[Example]) -> Answers:
    """Logistic regression over TF-IDF of words and word pairs, and of characters where there are no blanks."""
    from sklearn.linear_model import LogisticRegression

    answers = [example.output_text for example in train]
    if len(set(answers)) == 1:
        return [answers[0]] * len(test)
    vectoriser, rows = vectorise(_inputs(train))
    model = LogisticRegression(max_iter=1000, C=10.0)
    model.fit(rows, answers)
    return [str(answer) for answer in model.predict(vectoriser.transform(_inputs(test)))]


def tfidf_neighbour(train: Sequence[Example], test: Sequence[Example]) -> Answers:
    """The answer of the training row whose input is most similar (cosine of TF-IDF)."""
    import numpy as np

    if not any(example.input_text.strip() for example in train):  # texts without a question
        return majority(train, test)
    vectoriser, rows = vectorise(_inputs(train))
    asked = vectoriser.transform(_inputs(test))
    answers: Answers = []
    for start in range(0, len(test), COMPARED_AT_ONCE):
        nearest = (asked[start : start + COMPARED_AT_ONCE] @ rows.T).argmax(axis=1)
        # A matrix or a plain array, as scikit-learn's sparse types go.
        answers += [train[int(i)].output_text for i in np.asarray(nearest).ravel()]
    return answers


def _inputs(rows: Sequence[Example]) -> list[str]:
    return [example.input_text for example in rows]


def vectorise(texts: Sequence[str]) -> tuple[Any, Any]:
    """A TF-IDF vectoriser fitted to the texts, and their matrix: words and pairs, or characters where there are no blanks."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    spaced = sum(text.count(" ") for text in texts) / max(1, sum(map(len, texts))) > 0.05
    # Words of one character are no words to TF-IDF: without any longer one there is nothing to count.
    spaced = spaced and any(re.search(r"\w\w", text) for text in texts)
    vectoriser = (
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
        if spaced
        else TfidfVectorizer(analyzer="char", ngram_range=(1, 3), sublinear_tf=True)
    )
    return vectoriser, vectoriser.fit_transform(texts)


def longer_answer(test: Sequence[Example]) -> list[Prediction]:
    """Of both answers the longer one; of equally long ones neither."""
    rows = []
    for example in test:
        chosen, rejected = preference_texts(example)
        sure = 0.5 if len(chosen) == len(rejected) else float(len(chosen) > len(rejected))
        rows.append(
            Prediction(
                id=example.meta.id,
                input=example.input_text,
                expected=chosen,
                predicted=chosen if sure == 1 else rejected,
                correct=sure == 1,
                scores={CHOSEN: sure, REJECTED: 1 - sure},
            )
        )
    return rows
