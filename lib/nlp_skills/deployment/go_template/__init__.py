"""Ollama's Go templates: made from a tokenizer's chat template, and measured against it.

    chat_template (Jinja) ──translation──▶ TEMPLATE (Go) ──go_engine──▶ prompt ─┐ byte by byte, on many
                          ──transformers──────────────────────────────▶ prompt ─┘ conversations (probes)

What cannot be equal is refused (NotValid) or, where it is Ollama's own doing, named in `limits`.
"""
