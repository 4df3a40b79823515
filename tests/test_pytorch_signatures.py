"""Arguments of PyTorch's functions and layers have the same places and names here."""

import json
import re
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

import pytest

from tinygrad_nn import nn
from tinygrad_nn.nn.function_layers import FunctionLayer

RECORDED = json.loads((Path(__file__).parent / "reference" / "signatures.json").read_text(encoding="utf-8"))
ROOMS: dict[str, Any] = {"F": nn.functional, "nn": nn, "init": nn.init}
SAME = {  # names here, and what they are in PyTorch
    "n_in": "in_features input_size", "n_out": "out_features embedding_dim", "n_hidden": "hidden_size dim_feedforward",
    "layers": "num_layers", "c_in": "in_channels", "c_out": "out_channels", "kernel": "kernel_size",
    "size": "output_size", "features": "num_features", "channels": "num_features num_channels num_parameters",
    "groups": "num_groups", "shape": "normalized_shape", "affine": "elementwise_affine", "words": "num_embeddings",
    "n": "embed_dim d_model", "heads": "num_heads nhead", "eps": "layer_norm_eps", "slope": "init", "axis": "dim",
    "start": "start_dim", "end": "end_dim", "x": "input", "logits": "input", "prediction": "input", "mean": "input",
    "log_prediction": "input", "probabilities": "input", "scores": "input", "x1": "input1", "x2": "input2",
}  # fmt: skip
# The first two are named otherwise since PyTorch 0.4, the next two tell how to compute.
ABSENT = {"min_value", "max_value", "enable_nested_tensor", "mask_check"}


def names() -> list[str]:
    return [name for name, texts in RECORDED.items() if name.split(".")[0] in ROOMS and not texts[0].startswith("*a")]


def found(name: str) -> Any:
    room, word = name.split(".")
    return getattr(ROOMS[room], word)


def places(thing: Any) -> list[str]:
    """The arguments by position, as the error about too many of them, or else the definition, has them."""
    if isinstance(thing, type) and issubclass(thing, FunctionLayer):
        return list(thing.order)
    try:
        thing(*[None] * 40)
    except TypeError as error:
        if listed := re.search(r"by position: (.*); it got 40", str(error)):
            return [word for word in listed[1].split(", ") if word != "proj_size" or thing is nn.LSTM]
    kinds = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    return [p.name for p in signature(thing).parameters.values() if p.kind in kinds]


@pytest.mark.parametrize("name", names())
def test_an_argument_by_position_is_that_of_pytorch(name: str) -> None:
    theirs = [word.rstrip("=") for word in RECORDED[name][0].partition("*, ")[0].split(", ") if word]
    theirs = [word for word in theirs if word not in ABSENT]
    ours = places(found(name))
    assert len(ours) >= len(theirs), (ours, theirs)
    for mine, word in zip(ours, theirs, strict=False):
        assert word in (mine, *SAME.get(mine, "").split()), (ours, theirs)


@pytest.mark.parametrize("name", names())
def test_an_argument_by_name_is_that_of_pytorch(name: str) -> None:
    for word in re.findall(r"\w+", RECORDED[name][0].removesuffix(", *, bias=")):
        says = ""
        try:
            found(name)(**{word: None})
        except (TypeError, ValueError, AttributeError, NotImplementedError) as error:
            says = str(error)
        assert word in ABSENT or not re.search("has no option|unexpected keyword", says), says
