"""Files written for TensorBoard are read back: the framing and its checksums here, the records by their own format."""

import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_nn import Layer, Settings, Solver, TrainNN, fit
from tinygrad_nn.viz import Record, TensorBoard

SOLVER = Solver("binarycrossentropy", "adam", 0.05)
events = pytest.importorskip("tensorboardX.proto.event_pb2", reason="needs tensorboardX: pip install '.[test]'")


def data() -> tuple[Any, Any]:
    x = np.random.default_rng(0).normal(size=(40, 2))
    return x, (x[:, :1] > 0).astype(float)


def layers() -> list[Layer]:
    return [Layer(2, 5, "tanh", rng=0), Layer(5, 1, "sigmoid", rng=1)]


def crc32c(content: bytes) -> int:
    """The masked CRC of the format, by its polynomial."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def read(folder: Path) -> dict[str, dict[int, Any]]:
    """Tag -> step -> value of all event files in a folder."""
    found: dict[str, dict[int, Any]] = {}
    for path in sorted(folder.iterdir()):
        assert path.name.startswith("events.out.tfevents.")
        content = path.read_bytes()
        while content:
            head, (size,) = content[:8], struct.unpack("<Q", content[:8])
            assert struct.unpack("<I", content[8:12])[0] == crc32c(head)
            body = content[12 : 12 + size]
            assert struct.unpack("<I", content[12 + size : 16 + size])[0] == crc32c(body)
            content = content[16 + size :]
            event = events.Event.FromString(body)
            for value in event.summary.value:
                read = value.histo if value.HasField("histo") else value.simple_value
                found.setdefault(value.tag, {})[event.step] = read
    return found


def test_scalars_and_histograms_are_those_of_the_training(tmp_path: Path) -> None:
    x, y = data()
    board, record, plain = TensorBoard(tmp_path / "run", 4), Record(1), layers()
    model = layers()
    settings = Settings(3, 10)
    history = fit(model, x, y, x[:9], y[:9], solver=SOLVER, settings=settings, rng=1, callbacks=[board, record])
    assert history == fit(plain, x, y, x[:9], y[:9], solver=SOLVER, settings=settings, rng=1)
    assert all(np.array_equal(a.W.data, b.W.data) for a, b in zip(model, plain, strict=True))
    found = read(tmp_path / "run")
    scalars = {"epoch/loss": history.loss, "epoch/val_loss": history.val_loss,
               "epoch/accuracy": history.metrics["accuracy"]}  # fmt: skip
    for tag, values in scalars.items():
        assert found[tag] == {k: np.float32(v) for k, v in enumerate(values, start=1)}
    assert found["step/loss"] == {n: np.float32(record[n].loss) for n in (4, 8, 12)}
    assert [*found["weights/layer_1_W"]] == [0, 4, 8, 12]
    assert [*found["gradients/layer_2_b"]] == [4, 8, 12]
    for kind in ("weights", "gradients"):
        for n in (4, 12):
            for name, array in getattr(record[n], kind).items():
                histogram = found[f"{kind}/{name.replace(' ', '_')}"][n]
                assert histogram.num == array.size
                assert (histogram.min, histogram.max) == (array.min(), array.max())
                assert histogram.sum == pytest.approx(array.sum(), rel=1e-12, abs=1e-12)
                assert sum(histogram.bucket) == array.size


def test_a_training_that_ends_early_and_a_loop_are_written_to_the_end(tmp_path: Path) -> None:
    x, y = data()
    board = TensorBoard(tmp_path / "a", 100)
    fit(layers(), x, y, solver=SOLVER, settings=Settings(9, 10), rng=1, callbacks=[board, lambda e: e.number == 2])
    found = read(tmp_path / "a")
    assert [*found["epoch/loss"]] == [1, 2]
    assert [*found["weights/layer_1_b"]] == [0, 8]
    model = layers()
    with TensorBoard(tmp_path / "b", [0, 2]) as board:
        board.add(model)
        for _ in range(3):
            board.add(model, TrainNN(model, x, y, solver=SOLVER))
        board.writer.add_scalar("of/mine", 3.0, 1)
    found = read(tmp_path / "b")
    assert [*found["weights/layer_1_W"]] == [0, 2]
    assert [*found["gradients/layer_1_W"]] == [2]
    assert found["of/mine"] == {1: 3.0}


def test_names_and_numbers_of_any_kind_are_written(tmp_path: Path) -> None:
    with TensorBoard(tmp_path / "run", 1) as board:
        board.add({"[0].é <b>": np.array([1.0, np.nan, np.inf]), "c": np.array([3 + 4j]), "none": np.full(2, np.nan)})
    found = read(tmp_path / "run")
    by_number = {tag: value[0].num for tag, value in found.items()}
    assert sorted(by_number.values()) == [1, 1]
    assert all(tag.isascii() and " " not in tag and "<" not in tag for tag in found)


def test_invalid_arguments_raise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="is a file"):
        TensorBoard(tmp_path / "file")
    with pytest.raises(ValueError, match="at least 1"):
        TensorBoard(tmp_path, 0)
    with pytest.raises(TypeError, match="first argument"):
        TensorBoard(log_dir="runs")  # type: ignore[call-arg]
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match=r"pip install 'tinygrad-nn\[tensorboard\]'"):
        TensorBoard(tmp_path)


def test_the_writer_is_loaded_where_it_is_used() -> None:
    code = "import sys, tinygrad_nn.viz; tinygrad_nn.viz.TensorBoard; print('tensorboardX' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
