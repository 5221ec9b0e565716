"""Ollama, through its official client: what it has, what a version becomes there, and what it is asked.

connection       its client, and its errors in words
names            entity-sentiment:v2
models           list, show, copy, remove            pulling     a model from its library
creating         a version of a task, of these parts:
  candidate          under a name that nobody asks, until it has been looked at
  version_modelfile  from its own chat template      adapter_file  adapter_worker  an adapter as GGUF, beside its base
  uploading          files by their digest
generating       a prompt answered                   coding      code out of an answer
status           what is loaded, and the machine     recommended coordinator, worker, fallback by memory_at_hand
rendering        the text that it makes of a conversation
"""
