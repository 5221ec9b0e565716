"""Behaviour tests of a model (CheckList): what must not change an answer, what may move it one way only, what must work."""
