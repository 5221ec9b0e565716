"""An adapter (PEFT, LoRA) as a GGUF file, in a process of its own: a program that imports nothing of this library.

python adapter_worker.py PACKAGE BASE ADAPTER FILE ALPHA

llama.cpp adds alpha / r of B·A to a weight W that its converter may have turned over for its own attention. What the
converter does to the rows of W has to be done to the rows of B; the columns, and so A, stay as they are.
"""

import sys
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

PREFIX = "base_model.model."


def main(base: Path, adapter: Path, file: Path, alpha: float) -> None:
    """Write `file`; the base model's folder gives names and shapes, none of its weights is read."""
    gguf: Any = import_module("gguf")
    conversion: Any = import_module("conversion")
    torch: Any = import_module("torch")
    pairs = read_pairs(adapter / "adapter_model.safetensors")
    hparams = conversion.ModelBase.load_hparams(base, False)
    architecture = conversion.get_model_architecture(hparams, conversion.ModelType.TEXT)
    model_class: Any = conversion.get_model_class(architecture)

    class Adapter(model_class):
        """The base model's own conversion, of the rows of the B matrices."""

        model_arch = model_class.model_arch

        def set_vocab(self) -> None:
            """An adapter has none."""

        def set_type(self) -> None:
            self.gguf_writer.add_type(gguf.GGUFType.ADAPTER)
            self.gguf_writer.add_string(gguf.Keys.Adapter.TYPE, "lora")

        def set_gguf_parameters(self) -> None:
            self.gguf_writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, alpha)

        def generate_extra_tensors(self) -> Iterable[tuple[str, Any]]:
            return ()

        def get_tensors(self) -> Iterator[tuple[str, Any]]:
            for name, (_, rows) in pairs.items():
                yield name, rows

        def modify_tensors(self, data_torch: Any, name: str, bid: int | None) -> Iterator[tuple[str, Any]]:
            columns = pairs[name][0]
            for new_name, rows in super().modify_tensors(data_torch, name, bid):
                if rows.shape[-1] != columns.shape[0]:
                    raise ValueError(
                        f"{name}: its columns are moved too, which a LoRA of its rows cannot follow"
                    )
                yield f"{new_name}.lora_a", columns.clone()
                yield f"{new_name}.lora_b", rows

    with torch.inference_mode():
        made = Adapter(base, gguf.LlamaFileType.ALL_F32, file, eager=True, model_name=adapter.name)
        made.write()


def read_pairs(file: Path) -> dict[str, tuple[Any, Any]]:
    """Name of a weight → its A (r x in) and B (out x r)."""
    load: Any = import_module("safetensors.torch").load_file
    found: dict[str, dict[str, Any]] = {}
    for name, tensor in load(file).items():
        weight, mark, side = name.removeprefix(PREFIX).rpartition(".lora_")
        if not mark or side not in ("A.weight", "B.weight"):
            raise ValueError(f"{name} is no LoRA matrix of a linear layer")
        found.setdefault(f"{weight}.weight", {})[side[0]] = tensor.float()
    return {name: (sides["A"], sides["B"]) for name, sides in found.items()}


if __name__ == "__main__":
    package, base_folder, adapter_folder, gguf_file, scale = sys.argv[1:]
    sys.path.insert(0, package)  # before the environment's own `gguf`
    main(Path(base_folder), Path(adapter_folder), Path(gguf_file), float(scale))
