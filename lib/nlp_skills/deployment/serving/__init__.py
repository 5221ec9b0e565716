"""Serving a version: an OpenAI-compatible endpoint, a chat in the terminal, a file in batches.

HTTP ──▶ app ──▶ asked ──▶ backend ──▶ transformers   its own scheduler (engine.py): rows join and leave a running batch
                                 ├──▶ llama.cpp      a GGUF file, in this process
                                 └──▶ vLLM           a process of its own, where it is installed
"""
