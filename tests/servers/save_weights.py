"""Saves the weights of a GGUF file as a folder that transformers' server loads; run in the environment of transformers: FILE FOLDER.

`transformers serve FOLDER:FILE.gguf` loads a GGUF file by itself only where its header names an architecture of transformers (5.24).
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any


def main(file: Path, folder: Path) -> None:
    """Load the file, and save model and tokenizer with unpacked weights."""
    transformers: Any = importlib.import_module("transformers")
    loaded = transformers.AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype="float32")
    # A model that was loaded from GGUF counts as quantized and refuses to be saved, although its weights are unpacked.
    model = transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.from_pretrained(file.parent, gguf_file=file.name))
    model.load_state_dict(loaded.state_dict())
    model.save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name).save_pretrained(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
