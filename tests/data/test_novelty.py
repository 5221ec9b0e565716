"""What is found to be similar is exactly what comparing each with each finds."""

from hypothesis import given
from hypothesis import strategies as st

from nlp_skills.data.similarity import FEWEST, shingles, similarity
from nlp_skills.data.sources.generation.novelty import Neighbours

WORDS = st.lists(st.sampled_from("one two three four five six".split()), max_size=14).map(" ".join)


@given(st.lists(WORDS, max_size=12), WORDS, st.sampled_from([0.2, 0.5, 0.8, 1.0]))
def test_the_index_finds_what_comparing_each_with_each_finds(texts, text, threshold):
    found = {
        number: 1.0 if other == text else similarity(other, text)
        for number, other in enumerate(texts)
        if other == text
        or (min(len(shingles(other)), len(shingles(text))) >= FEWEST and similarity(other, text) >= threshold)
    }
    assert Neighbours(texts, threshold).of(text) == found


def test_equal_is_equal_up_to_case_width_and_white_space():
    index = Neighbours(["Yes", "no  way", "ＡＢＣ"], 0.8)
    assert index.of(" YES ") == {0: 1.0}
    assert index.of("No way") == {1: 1.0}
    assert index.of("abc") == {2: 1.0}
    assert index.of("yes!") == {}
