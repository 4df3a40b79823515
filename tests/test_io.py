"""Networks survive a file, damaged files are refused, and no file is ever half written."""

import errno
import json
import os
import random
import stat
from pathlib import Path

import numpy as np
import pytest

from tinygrad_nn import Layer, Predict, Scaler, io
from tinygrad_nn.files import check_folder, safetensors, write_folder, write_whole
from tinygrad_nn.io import Network, load_network, load_weights, save_network, to_bytes
from tinygrad_nn.nn import Linear


def network(dtype: type = np.float64, **more: object) -> Network:
    layers = [Layer(4, 5, "leaky_relu(0.2)", "n", rng=0, dtype=dtype), Layer(5, 3, "softmax", rng=1, dtype=dtype)]
    scaler = Scaler.fit(np.arange(12.0).reshape(3, 4) ** 2)
    about = {"epochs": 3}
    fields: dict[str, object] = {"features": tuple("abcd"), "target": "t", "classes": ("ä", "b", "[c]"), "about": about}
    return Network(layers, **{"scaler": scaler, **fields, **more})


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_network_comes_back_as_it_was(dtype: type, tmp_path: Path, rng: np.random.Generator) -> None:
    before = network(dtype)
    path = save_network(tmp_path / "m.safetensors", before)
    after = load_network(path)
    for old, new in zip(before.layers, after.layers, strict=True):
        assert old.W.data.tobytes() == new.W.data.tobytes()
        assert old.b.data.tobytes() == new.b.data.tobytes()
        assert (new.W.dtype, new.activation, new.distribution) == (dtype, old.activation, old.distribution)
    for name in ("task", "features", "target", "classes", "about"):
        assert getattr(before, name) == getattr(after, name)
    x = rng.normal(size=(6, 4))
    assert (before.predict(x) == after.predict(x)).all()
    assert after.labels(after.predict(x)) == [before.classes[k] for k in before.predict(x).argmax(axis=1)]
    assert os.listdir(tmp_path) == ["m.safetensors"]


def test_predict_scales_what_goes_in_and_what_comes_out(rng: np.random.Generator) -> None:
    x, y = rng.normal(5, 3, (20, 2)), rng.normal(1e6, 1e5, (20, 1))
    layers = [Layer(2, 1, rng=0)]
    scalers = Scaler.fit(x), Scaler.fit(y)
    found = Network(layers, "regression", scaler=scalers[0], target_scaler=scalers[1]).predict(x)
    assert np.allclose(found, Predict(layers, (x - x.mean(0)) / x.std(0)) * y.std() + y.mean())


def test_classes_without_names_are_numbered_by_the_outputs_of_the_last_layer() -> None:
    narrow = Network([Layer(2, 1, rng=0), Layer(1, 3, "softmax", rng=1)], "classification")
    assert narrow.labels(np.eye(3)[[2, 0, 1]]) == ["2", "0", "1"]


def test_equal_networks_give_equal_bytes() -> None:
    assert to_bytes(network()) == to_bytes(network())
    assert to_bytes(network()) != to_bytes(network(target="u"))


def test_other_programs_can_read_the_weights(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    before = network()
    arrays = load_file(save_network(tmp_path / "m.safetensors", before))
    assert sorted(arrays) == ["layer1.W", "layer1.b", "layer2.W", "layer2.b"]
    assert (arrays["layer2.W"] == before.layers[1].W.data).all()


def test_every_cut_is_refused(tmp_path: Path) -> None:
    content, path = to_bytes(network()), tmp_path / "m.safetensors"
    for size in [0, 1, 7, 8, 9, 10, *range(11, len(content), 61), len(content) - 1]:
        path.write_bytes(content[:size])
        with pytest.raises(ValueError, match=r"is cut off|is empty|is not a safetensors file"):
            load_network(path)


def test_every_changed_bit_is_refused(tmp_path: Path) -> None:
    content, path = to_bytes(network()), tmp_path / "m.safetensors"
    chance = random.Random(0)
    places = [*range(16), *(chance.randrange(len(content)) for _ in range(400))]
    for place in places:
        changed = bytearray(content)
        changed[place] ^= 1 << chance.randrange(8)
        path.write_bytes(changed)
        with pytest.raises(ValueError, match=str(path)) as found:
            load_network(path)
        assert "\n" not in str(found.value)


def test_bytes_added_at_the_end_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(to_bytes(network()) + b"\0")
    with pytest.raises(ValueError, match="was changed after it was written"):
        load_network(path)


def resigned(tmp_path: Path, change: object) -> Path:
    """Return a file with another description and a checksum that fits."""
    from safetensors.numpy import save_file

    before = network()
    known = io._describe(before)
    change(known)
    text = json.dumps(known)
    arrays = {f"layer{k}.{n}": getattr(part, n).data for k, part in enumerate(before.layers, 1) for n in ("W", "b")}
    notes = {"format": io.FORMAT, "version": io.VERSION, "network": text, "sha256": safetensors.digest(text, arrays)}
    path = tmp_path / "m.safetensors"
    save_file(arrays, path, notes)
    return path


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda known: known["layers"][0].update(n_in=7), "weights of shape"),
        (lambda known: known["layers"][0].update(n_in=10**9, n_out=10**9), "weights of shape"),
        (lambda known: known["layers"][0].update(activation="swish"), "unknown activation"),
        (lambda known: known["layers"][0].update(dtype="float16"), "of type"),
        (lambda known: known["layers"].pop(), "4 arrays for 1 layers"),
        (lambda known: known.pop("task"), "'task'"),
        (lambda known: known.update(classes=["a"]), "1 class name"),
        (lambda known: known.update(scaler={"mean": [0], "scale": [1]}), "1 column in scaler"),
        (lambda known: known.update(task="clustering"), "known are"),
        (lambda known: known.update(layers={}), "layers is {}"),
        (lambda known: known.update(layers=[None]), "TypeError"),
        (lambda known: known.update(features=[[], 1, 2, 3]), "features is"),
        (lambda known: known.update(target=1e999), "target is inf"),
        (lambda known: known.update(scaler=[]), "Scaler"),
        (lambda known: known.update(scaler={"mean": ["\x1b[2J"] * 4, "scale": [1] * 4}), "m.safetensors"),
        (lambda known: known["layers"][0].update(n_in="4"), "weights of shape"),
        (lambda known: known["layers"][0].update(activation=["relu"]), "activation"),
        (lambda known: known["layers"][0].update(activation="\x1b[2J"), "unknown activation"),
    ],
)
def test_a_description_that_fits_no_network_is_refused(change: object, match: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=match) as found:
        load_network(resigned(tmp_path, change))
    assert str(found.value).isprintable()


def head_of(text: bytes, path: Path, more: bytes = b"") -> Path:
    """Write a safetensors file with this head."""
    path.write_bytes(len(text).to_bytes(8, "little") + text + more)
    return path


ENTRY = '"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}'


@pytest.mark.parametrize(
    ("head", "match"),
    [
        ("{" + ", ".join(f'"t{k}":{{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}' for k in range(120_000)) + "}",
         "brackets, keys and commas"),
        ('{"w":' + "[],[" * 400_000, "brackets, keys and commas"),
        ('{"w":' + "[" * 100_000, "header cannot be read"),
        ("{" + " " * 2**24 + "}", "16,777,218 bytes, more than the limit of 16,777,216"),
        ('{"w": []}', "header cannot be read"),
        ('{"w": {"dtype": "F32", "shape": [1]}}', "header cannot be read"),
        ('{"w": {"dtype": 3, "shape": [1], "data_offsets": [0, 4]}}', "header cannot be read"),
        ('{"w": {"dtype": "F32", "shape": {}, "data_offsets": [0, NaN]}}', "header cannot be read"),
        ('{"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, -4]}}', "header cannot be read"),
        ('{"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 1' + "0" * 400 + "]}}", "header cannot be read"),
        ('{"w": {"dtype": "F32", "shape": [1e999], "data_offsets": [0, 4]}}', "header cannot be read"),
        ('{"w": {"dtype": "F32", "shape": [9], "data_offsets": [0, 4]}}', "was changed after it was written"),
        ('{"w": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}', "was changed after it was written"),
        ('{"w": {"dtype": "X\x1b[2J", "shape": [1], "data_offsets": [0, 4]}}', "header cannot be read"),
        ('{"w": {"dtype": "F8_\\u001b[2J", "shape": [1], "data_offsets": [0, 4]}}', r"F8_.x1b\[2J, which NumPy"),
        ('{"__metadata__": {"format": 3}, ' + ENTRY + "}", "was changed after it was written"),
        ('{"__metadata__": [], ' + ENTRY + "}", "was changed after it was written"),
    ],
    ids=range(17),
)
def test_a_head_that_no_network_has_is_refused_before_it_costs_anything(head: str, match: str, tmp_path: Path) -> None:
    path = head_of(head.encode(), tmp_path / "m.safetensors", b"\0" * 4)
    for read in (load_network, lambda path: load_weights(path, Linear(1, 1))):
        with pytest.raises(ValueError, match=match) as found:
            read(path)
        assert str(path) in str(found.value)
        assert str(found.value).isprintable()
        assert len(str(found.value)) < 500 + len(str(path))


def test_a_huge_head_is_refused_by_its_first_eight_bytes(tmp_path: Path) -> None:
    import tracemalloc

    path = tmp_path / "m.safetensors"
    with path.open("wb") as file:  # 90 MB, nothing of which takes place on the disk
        file.write((90_000_000).to_bytes(8, "little") + b"{")
        file.truncate(100_000_000)
    tracemalloc.start()
    with pytest.raises(ValueError, match="its header has 90,000,000 bytes, more than the limit of 16,777,216"):
        load_network(path)
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


def test_what_would_be_refused_is_not_written() -> None:
    with pytest.raises(ValueError, match=r"100,000 arrays and their metadata are too much for one file"):
        safetensors.seal("weights", {f"w{k}": np.zeros(0) for k in range(100_000)})


def test_a_description_nested_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.test_io.json.dumps", lambda known: "[" * 100_000)
    with pytest.raises(ValueError, match="holds a text that is not JSON"):
        load_network(resigned(tmp_path, lambda known: None))


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"w": np.ones(3)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="not of a tinygrad_nn network"):
        load_network(tmp_path / "other.safetensors")
    (tmp_path / "text").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="is not a safetensors file"):
        load_network(tmp_path / "text")
    np.savez(tmp_path / "arrays.npz", w=np.ones(3))
    with pytest.raises(ValueError, match="is not a safetensors file"):
        load_network(tmp_path / "arrays.npz")
    with pytest.raises(ValueError, match="is a folder"):
        load_network(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.safetensors: no such file"):
        load_network(tmp_path / "nowhere.safetensors")


def test_a_later_version_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("tinygrad_nn.io.VERSION", "2")
        path = save_network(tmp_path / "m.safetensors", network())
    with pytest.raises(ValueError, match="format version '2'"):
        load_network(path)


def test_an_unsavable_network_is_refused_and_leaves_no_file(tmp_path: Path) -> None:
    broken = network()
    broken.layers[0].W = np.full((5, 4), np.nan)
    with pytest.raises(ValueError, match=r"layer1\.W holds infinities or NaN"):
        save_network(tmp_path / "m.safetensors", broken)
    with pytest.raises(ValueError, match=r"layer1\.W is of type float16; a file holds float32 or float64"):
        save_network(tmp_path / "m.safetensors", Network([Layer(4, 3, dtype=np.float16)]))
    with pytest.raises(ValueError, match="does not fit into JSON"):
        save_network(tmp_path / "m.safetensors", network(about={"rng": object()}))
    with pytest.raises(ValueError, match="does not fit into JSON"):
        save_network(tmp_path / "m.safetensors", network(about={"loss": float("nan")}))
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"features": ("a",)}, "1 feature name"),
        ({"classes": ("a", "b")}, "2 class names"),
        ({"target_scaler": Scaler.fit(np.ones((2, 2)))}, "2 columns in target_scaler"),
        ({"task": "x"}, "known are 'classification', 'regression'"),
        ({"layers": []}, "no layers"),
    ],
)
def test_names_and_scalings_must_fit(fields: dict[str, object], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        Network(**{"layers": [Layer(4, 3, rng=0)], **fields})


# Files written whole or not at all.


def test_write_whole_replaces(tmp_path: Path) -> None:
    path = write_whole(tmp_path / "f", b"old")
    assert write_whole(path, b"new").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["f"]


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file(
    broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_whole(tmp_path / "f", b"old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"tinygrad_nn.files.atomic.os.{broken}", fail)
    with pytest.raises(OSError, match="No space left") as told:
        write_whole(path, b"new")
    assert told.value.filename == str(path)
    with pytest.raises(OSError, match="No space left") as told, write_folder(tmp_path / "folder") as staging:
        write_whole(staging / "f", b"new")
    assert told.value.filename == str(tmp_path / "folder")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["f"]


@pytest.mark.skipif(os.name == "nt", reason="folders are not opened there")
def test_the_folder_is_synced_after_a_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    replace, sync = os.replace, os.fsync

    def replaced(old: Path, new: Path) -> None:
        replace(old, new)
        done.append("rename")

    def synced(file: int) -> None:
        done.append("folder" if stat.S_ISDIR(os.fstat(file).st_mode) else "file")
        sync(file)

    monkeypatch.setattr("tinygrad_nn.files.atomic.os.replace", replaced)
    monkeypatch.setattr("tinygrad_nn.files.atomic.os.fsync", synced)
    write_whole(tmp_path / "f", b"new")
    assert done == ["file", "rename", "folder"]
    done.clear()
    with write_folder(tmp_path) as staging:
        (staging / "x").write_text("new")
    assert done == ["rename", "folder"]


def test_a_file_system_that_cannot_sync_folders_is_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sync = os.fsync

    def synced(file: int) -> None:
        if stat.S_ISDIR(os.fstat(file).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        sync(file)

    monkeypatch.setattr("tinygrad_nn.files.atomic.os.fsync", synced)
    assert write_whole(tmp_path / "f", b"new").read_bytes() == b"new"


def test_write_whole_needs_its_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="does not exist; make it"):
        write_whole(tmp_path / "no" / "f", b"")


def test_together_moves_all_files_and_keeps_others(tmp_path: Path) -> None:
    out = tmp_path / "a" / "b"
    for text in ("one", "two"):
        with write_folder(out) as staging:
            (staging / "x").write_text(text)
            assert not (out / "x").exists() or (out / "x").read_text() == "one"
            (staging / "y").write_text(text)
        (out / "mine").write_text("mine")
    assert sorted(os.listdir(out)) == ["mine", "x", "y"]
    assert {(out / name).read_text() for name in "xy"} == {"two"}


@pytest.mark.skipif(os.name == "nt", reason="a file that is being read cannot be replaced there")
def test_together_never_writes_into_a_file_that_someone_reads(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("old")
    with (tmp_path / "x").open() as reader:
        with write_folder(tmp_path) as staging:
            (staging / "x").write_text("new")
        assert reader.read() == "old"
    assert (tmp_path / "x").read_text() == "new"


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_together_leaves_nothing_of_a_block_that_fails(error: type[BaseException], tmp_path: Path) -> None:
    def write(folder: Path) -> None:
        with write_folder(folder) as staging:
            (staging / "x").write_text("new")
            raise error

    with pytest.raises(error):
        write(tmp_path / "a" / "b")
    assert not os.listdir(tmp_path), "folders that were made for it are gone"
    (tmp_path / "x").write_text("old")
    with pytest.raises(error):
        write(tmp_path)
    assert os.listdir(tmp_path) == ["x"]
    assert (tmp_path / "x").read_text() == "old"


def test_together_moves_nothing_if_a_folder_has_the_name(tmp_path: Path) -> None:
    def write() -> None:
        with write_folder(tmp_path) as staging:
            (staging / "x").write_text("new")
            (staging / "y").write_text("new")

    (tmp_path / "y").mkdir()
    with pytest.raises(IsADirectoryError, match="y is a folder"):
        write()
    assert os.listdir(tmp_path) == ["y"]


def test_check_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_folder(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    (tmp_path / "f").write_text("")
    for path in (tmp_path / "f", tmp_path / "f" / "g"):
        with pytest.raises(NotADirectoryError, match="is a file; a folder is needed"):
            check_folder(path)
    monkeypatch.setattr("tinygrad_nn.files.atomic.os.access", lambda *_: False)
    with pytest.raises(PermissionError, match="is read-only"):
        check_folder(tmp_path)
