"""Ollama, through its official client: what it has, what a version becomes there, and what it is asked.

connection       where it is, and its errors in words
names            entity-sentiment:v2
models           list, show, copy, remove            pulling     a model from its library
creating         a version of a task, with a Modelfile from its own chat template
generating       a prompt answered                   coding      code out of an answer
status           what is loaded, and the memory      recommended coordinator, worker, fallback
rendering        the text that it makes of a conversation
"""
