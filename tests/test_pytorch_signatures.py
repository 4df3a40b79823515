"""Arguments of PyTorch's functions and layers have the same places and names here."""

import json
import re
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_nn.pytorch as torch
from tinygrad_nn import Tensor, nn
from tinygrad_nn.nn.function_layers import FunctionLayer

RECORDED = json.loads((Path(__file__).parent / "reference" / "signatures.json").read_text(encoding="utf-8"))
ROOMS: dict[str, Any] = {
    "F": nn.functional, "nn": nn, "init": nn.init, "torch": torch, "linalg": torch.linalg, "fft": torch.fft,
    "t": Tensor(np.ones((2, 3))),
}  # fmt: skip
SAME = {  # names here, and what they are in PyTorch
    "n_in": "in_features input_size", "n_out": "out_features embedding_dim", "n_hidden": "hidden_size dim_feedforward",
    "layers": "num_layers", "c_in": "in_channels", "c_out": "out_channels", "kernel": "kernel_size",
    "size": "output_size", "features": "num_features", "channels": "num_features num_channels num_parameters",
    "groups": "num_groups", "shape": "normalized_shape", "affine": "elementwise_affine", "words": "num_embeddings",
    "n": "embed_dim d_model", "heads": "num_heads nhead", "eps": "layer_norm_eps", "slope": "init", "axis": "dim",
    "start": "start_dim", "end": "end_dim", "logits": "input", "prediction": "input", "mean": "input",
    "log_prediction": "input log_probs", "probabilities": "input", "scores": "input", "x1": "input1", "x2": "input2",
    "target": "targets", "n_1": "in1_features", "n_2": "in2_features",
    "indices_or_sections": "sections indices tensor_indices_or_sections", "cuts": "sections indices",
    "a": "input", "x": "input tensor", "src": "value",
}  # fmt: skip
# The first two are named otherwise since PyTorch 0.4; the rest choose how it computes or stores, or how it pickles.
ABSENT = {
    "min_value", "max_value", "enable_nested_tensor", "mask_check", "out", "out_dtype", "memory_format", "sparse_grad",
    "pickle_module", "pickle_protocol", "_use_new_zipfile_serialization", "_disable_byteorder_record", "mmap",
    "cudnn_enable", "cudnn_enabled",
}  # fmt: skip
# Classes in PyTorch, names of its stubs that its pages do not have, and methods of the graph or as in NumPy.
OTHERWISE = {
    "torch.enable_grad", "torch.no_grad", "torch.inference_mode", "torch.set_grad_enabled", "torch.tensor",
    "torch.Size", "t.add", "t.backward", "t.cuda", "t.expand", "t.new_tensor", "t.new_ones", "t.pin_memory",
    "t.put", "t.split", "t.t", "t.requires_grad_", "t.to", "t.type_as", "t.view",
}  # fmt: skip
TWO = {"torch.max", "torch.min", "torch.std", "torch.var", "torch.where", "torch.isin",
       "torch.std_mean", "torch.var_mean"}  # overloads told by a type


def names() -> list[str]:
    rooms = [name for name, texts in RECORDED.items() if name.split(".")[0] in ROOMS and texts[0] not in ("", "*args")]
    return [name for name in rooms if name not in OTHERWISE and callable(found(name))]


def found(name: str) -> Any:
    room, word = name.split(".")
    return getattr(ROOMS[room], word)


def error_of(thing: Any, *args: Any, **options: Any) -> str:
    """What a call says that is wrong in more than one respect."""
    try:
        thing(*args, **options)
    except Exception as error:
        return str(error)
    return ""


def places(thing: Any) -> list[str]:
    """The arguments by position, as the error about too many of them, or else the definition, has them."""
    if isinstance(thing, type) and issubclass(thing, FunctionLayer):
        return list(thing.order)
    if listed := re.search(r"by position: (.*); it got 40", error_of(thing, *[None] * 40)):
        return [word for word in listed[1].split(", ") if word != "proj_size" or thing is nn.LSTM]
    kinds = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD, Parameter.VAR_POSITIONAL)
    return ["*" * (p.kind is kinds[2]) + p.name for p in signature(thing).parameters.values() if p.kind in kinds]


def overloads(name: str) -> list[str]:
    """The overloads with PyTorch's present first argument; some begin with a number, or another order."""
    texts = RECORDED[name]
    first = max(texts, key=len).partition(",")[0]
    alike = [text.removesuffix(", *, bias=") for text in texts if text.partition(",")[0] == first]
    return [max(alike, key=len)] if name in TWO else alike


@pytest.mark.parametrize("name", [name for name in names() if name[:2] != "t."])
def test_an_argument_by_position_is_that_of_pytorch(name: str) -> None:
    ours = [word for word in places(found(name)) if word not in ABSENT]
    for text in overloads(name):
        theirs = [word.rstrip("=") for word in re.split(r"(?:, |^)\*", text)[0].split(", ") if word]
        theirs = [word for word in theirs if word not in ABSENT]
        assert len(ours) >= len(theirs) or ours[-1][0] == "*", (ours, theirs)
        for mine, word in zip(ours, theirs, strict=False):
            if mine[0] == "*":
                break
            assert word in (mine, *SAME.get(mine, "").split()), (ours, theirs)


@pytest.mark.parametrize("name", names())
def test_an_argument_by_name_is_that_of_pytorch(name: str) -> None:
    for word in dict.fromkeys(re.findall(r"(?<!\*)\b\w+", ", ".join(RECORDED[name]).replace(", *, bias=", ""))):
        says = error_of(found(name), **{word: None})
        assert word in ABSENT or not re.search("has no option|unexpected keyword|does not take", says), says
