"""Loading PyTorch's weights: names with a prefix or other names, and torch.save files by its weights-only reader.

The suite needs no PyTorch: a replacement with the same functions is called instead.
"""

import ast
import builtins
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from tinygrad_nn import io, nn
from tinygrad_nn.nn import BatchNorm1d, Linear, Sequential


def model() -> Sequential:
    return Sequential({"fc": Linear(3, 2, rng=0), "norm": BatchNorm1d(2)})


def written(folder: Path, arrays: dict[str, Any]) -> Path:
    """A safetensors file as PyTorch writes it."""
    from safetensors.numpy import save_file

    save_file(arrays, folder / "weights.safetensors")
    return folder / "weights.safetensors"


STATE = {name: np.full(array.shape, 0.5, array.dtype) for name, array in model().state_dict().items()}


def alike(found: Sequential) -> bool:
    return all(np.array_equal(array, STATE[name]) for name, array in found.state_dict().items())


@pytest.mark.parametrize(
    ("change", "options"),
    [
        (lambda name: name, {}),
        (lambda name: f"module.{name}", {"prefix": "module."}),
        (lambda name: f"a.b.{name}", {"prefix": "a.b"}),
        (lambda name: name.replace("fc", "head.linear"), {"rename": {"head.linear": "fc"}}),
        (lambda name: name.replace("norm.running_mean", "mean"), {"rename": {"mean": "norm.running_mean"}}),
        (lambda name: name.replace("fc.", ""), {"rename": {"weight": "fc.weight", "bias": "fc.bias"}}),
        (lambda name: f"net.{name}", {"rename": {"net": ""}}),
        (lambda name: f"net.{name}", {"rename": {"net": "wrong", "net.fc": "fc", "net.norm": "norm"}}),  # the longest
        (lambda name: f"m.{name.upper()}", {"prefix": "m", "rename": str.lower}),
    ],
)
def test_names_are_changed_by_prefix_and_rename(change: Any, options: dict[str, Any], tmp_path: Path) -> None:
    other = model()
    io.load_weights(written(tmp_path, {change(name): array for name, array in STATE.items()}), other, **options)
    assert alike(other)


def test_prefix_and_rename_leave_out_other_weights(tmp_path: Path) -> None:
    path = written(tmp_path, {**{f"student.{n}": a for n, a in STATE.items()}, "teacher.fc.weight": np.ones((3, 2))})
    other = model()
    io.load_weights(path, other, prefix="student")
    assert alike(other)
    path = written(tmp_path, {**STATE, "head.weight": np.ones(3)})
    other = model()
    io.load_weights(path, other, rename=lambda name: None if name.startswith("head.") else name)
    assert alike(other)


@pytest.mark.parametrize(
    ("change", "options", "text"),
    [
        (lambda name: f"module.{name}", {}, "Under prefix='module' it has all names."),
        (lambda name: name, {"prefix": "modul"}, "no name begins with prefix='modul.'; they begin with fc, norm."),
        (lambda name: f"module.{name}", {"prefix": "modul"}, "they begin with module. Did you mean 'module'?"),
        (lambda name: name, {"rename": {"fc.bias": "fc.weight"}}, "would both be called fc.weight; change rename="),
        (lambda name: name, {"rename": {"fc": "f"}}, "missing: fc.weight, fc.bias; not known here: f."),
    ],
)
def test_unsuitable_weights_raise(change: Any, options: dict[str, Any], text: str, tmp_path: Path) -> None:
    other = model()
    before = other.state_dict()
    with pytest.raises(ValueError, match=r"weights\.safetensors: ") as caught:
        io.load_weights(written(tmp_path, {change(name): array for name, array in STATE.items()}), other, **options)
    assert text in str(caught.value)
    assert all(np.array_equal(array, before[name]) for name, array in other.state_dict().items())


class FakeTensor:
    """As much of a torch.Tensor as the reader asks for."""

    def __init__(self, array: Any, dtype: str) -> None:
        self.array, self.dtype = array, dtype

    def detach(self) -> "FakeTensor":
        return self

    def cpu(self) -> "FakeTensor":
        return self

    def float(self) -> "FakeTensor":
        return FakeTensor(self.array.astype(np.float32), "torch.float32")

    def numpy(self) -> Any:
        assert self.dtype != "torch.bfloat16", "NumPy has no such type"
        return self.array


def fake(state: Any) -> SimpleNamespace:
    def load(path: Any, *, map_location: str, weights_only: bool) -> Any:
        assert (map_location, weights_only) == ("cpu", True)
        if isinstance(state, Exception):
            raise state
        return state

    return SimpleNamespace(load=load)


BEGINNINGS = [b"PK\x03\x04 and so on", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19. and so on"]


@pytest.mark.parametrize("beginning", BEGINNINGS)
def test_a_file_of_torch_save_is_read_by_its_weights_only_reader(
    beginning: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors = {name: FakeTensor(array, "torch.float64") for name, array in STATE.items()}
    tensors["fc.weight"].dtype = "torch.bfloat16"
    path = tmp_path / "model.pt"
    path.write_bytes(beginning)
    monkeypatch.setitem(sys.modules, "torch", fake(tensors))
    other = model()
    io.load_weights(path, other)
    assert alike(other)
    monkeypatch.setitem(sys.modules, "torch", fake({"epoch": 3, "model": {"module": tensors}, "lr": 0.1}))
    other = model()
    io.load_weights(path, other, prefix="model.module")
    assert alike(other)
    with pytest.raises(ValueError, match=r"model\.pt: this state .*Under prefix='model\.module' it has all names"):
        io.load_weights(path, other)


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (RuntimeError("Weights only load failed. More"), r"refuses it \(Weights only load failed\). Save model"),
        ({"epoch": 3}, r"holds no tensors by name; save model.state_dict\(\) there"),
    ],
)
def test_what_the_reader_refuses(state: Any, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(BEGINNINGS[0])
    monkeypatch.setitem(sys.modules, "torch", fake(state))
    with pytest.raises(ValueError, match=text):
        io.load_weights(path, model())


def test_without_pytorch_its_files_raise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, imported = tmp_path / "model.pt", builtins.__import__
    path.write_bytes(BEGINNINGS[0])

    def missing(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "torch":
            raise ImportError(name)
        return imported(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ImportError, match=r"which only PyTorch reads: pip install torch. Or write it there with"):
        io.load_weights(path, model())


def cnn(names: tuple[str, ...]) -> Any:
    """A convolutional network whose parts have these names."""
    parts = nn.Conv2d(1, 3, 3, rng=0), nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3, rng=1), nn.Linear(16, 2, rng=2)
    return nn.Sequential(dict(zip(names, parts, strict=True)))


def test_the_names_of_a_cnn_are_guessed_by_its_shapes(tmp_path: Path) -> None:
    theirs, ours = cnn(("stem", "norm", "body", "fc")), cnn(("a", "b", "c", "d"))
    for value in theirs.state_dict().values():
        value += 1
    save_file({f"net.{name}": value for name, value in theirs.state_dict().items()}, tmp_path / "w.safetensors")
    io.load_weights(tmp_path / "w.safetensors", ours, prefix="net.", rename="guess")
    for one, other in zip(theirs.parameters(), ours.parameters(), strict=True):
        np.testing.assert_array_equal(one.data, other.data)
    np.testing.assert_array_equal(ours[1].running_mean, theirs[1].running_mean)


def test_an_encoder_of_equal_blocks_is_listed_and_loads_by_the_list(tmp_path: Path) -> None:
    def encoder(name: str) -> Any:
        block = nn.TransformerEncoderLayer(4, 2, 8, 0.0, rng=0)
        return nn.Sequential({name: nn.TransformerEncoder(block, 2), "head": nn.Linear(4, 3, rng=1)})

    theirs, ours = encoder("layers_of_bert"), encoder("body")
    for k, value in enumerate(theirs.state_dict().values()):
        value += k
    backwards = dict(reversed(theirs.state_dict().items()))  # files have orders of their own
    save_file(backwards, tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match="cannot be matched uniquely: in the file layers_of_bert") as problem:
        io.load_weights(tmp_path / "w.safetensors", ours, rename="guess")
    said = re.search(r"rename=(\{.*\})", str(problem.value))
    assert said
    io.load_weights(tmp_path / "w.safetensors", ours, rename=ast.literal_eval(said[1]))
    for one, other in zip(theirs.parameters(), ours.parameters(), strict=True):
        np.testing.assert_array_equal(one.data, other.data)


def test_names_that_both_have_are_kept(tmp_path: Path) -> None:
    parts = [nn.Linear(3, 3, rng=k) for k in range(11)]
    model = nn.Sequential(*parts)
    save_file(dict(reversed(model.state_dict().items())), tmp_path / "w.safetensors")
    other = nn.Sequential(*(nn.Linear(3, 3, rng=99) for _ in parts))
    io.load_weights(tmp_path / "w.safetensors", other, rename="guess")
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        np.testing.assert_array_equal(one.data, two.data)


def test_the_list_pairs_layer_10_behind_layer_9(tmp_path: Path) -> None:
    save_file({f"layer.{k + 1}.weight": np.full((2, 2), float(k)) for k in range(12)}, tmp_path / "w.safetensors")
    model = nn.Sequential(*(nn.Linear(2, 2, bias=False, rng=0) for _ in range(12)))
    with pytest.raises(ValueError, match="cannot be matched uniquely") as problem:
        io.load_weights(tmp_path / "w.safetensors", model, rename="guess")
    said = re.search(r"rename=(\{.*\})", str(problem.value))
    assert said
    assert ast.literal_eval(said[1]) == {f"layer.{k + 1}": str(k) for k in range(12)}


def test_a_part_that_the_file_has_not_is_listed(tmp_path: Path) -> None:
    save_file(dict(nn.Linear(3, 2, rng=0).state_dict()), tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match=r"in the file nothing for 1 \(bias 5, weight 5x2\)"):
        io.load_weights(
            tmp_path / "w.safetensors", nn.Sequential(nn.Linear(3, 2, rng=0), nn.Linear(2, 5, rng=1)), rename="guess"
        )
