"""Choices as a tree: every path gives its choice back, and nothing is given to a model twice."""

from hypothesis import given
from hypothesis import strategies as st

from nlp_skills.evaluation.predictors.choice_tree import ROOT, ChoiceTree, forest
from nlp_skills.evaluation.predictors.prompt_cache import common_beginning

choices = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=6), min_size=1, max_size=12)


def read(tree: ChoiceTree) -> list[list[int]]:
    return [[tree.edges[edge][1] for edge in path] for path in tree.paths]


@given(choices, st.integers(1, 12))
def test_the_paths_are_the_choices_and_no_tree_is_larger_than_allowed(
    said: list[list[int]], most: int
) -> None:
    trees = forest(said, most)
    found = {place: path for tree in trees for place, path in zip(tree.places, read(tree), strict=True)}
    assert [found[place] for place in range(len(said))] == said
    assert all(len(tree.tokens) <= most or len(tree.paths) == 1 for tree in trees)


@given(choices)
def test_a_node_sees_itself_and_the_tokens_before_it_in_its_choice(said: list[list[int]]) -> None:
    (tree,) = forest(said, 1000)
    seen: dict[int, list[int]] = {ROOT: []}
    for node, other in tree.sight:
        seen.setdefault(node, []).append(tree.tokens[other])
    for choice, path in zip((said[place] for place in tree.places), tree.paths, strict=True):
        for place, edge in enumerate(path):
            assert seen[tree.edges[edge][0]] == choice[:place]
    assert [len(seen[node]) for node in range(len(tree.tokens))] == tree.depths
    beginnings = {tuple(choice[:end]) for choice in said for end in range(1, len(choice))}
    assert len(tree.tokens) == len(beginnings)


@given(choices)
def test_the_common_beginning_leaves_every_prompt_a_token(prompts: list[list[int]]) -> None:
    shared = common_beginning(prompts)
    assert shared < min(map(len, prompts))
    assert len({tuple(prompt[:shared]) for prompt in prompts}) == 1
    longer = shared + 1
    assert longer >= min(map(len, prompts)) or len({tuple(prompt[:longer]) for prompt in prompts}) > 1
