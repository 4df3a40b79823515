"""Machine code on disk: found again by what it computes, never taken from where others can write, never needed."""

import gc
import os
import pickle
import shutil
import stat
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba", reason="needs numba: pip install 'tinygrad-nn[jit]'")

import tinygrad_nn as nn
from tinygrad_nn.compiled.collector import without_collector
from tinygrad_nn.compiled.numba import cache, machine
from tinygrad_nn.compiled.numba import fingerprint as fingerprint_of_code
from tinygrad_nn.compiled.numba.fingerprint import fingerprint

SIGNATURE = "f8(f8)"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, with no warning given yet."""
    monkeypatch.setenv("TINYGRAD_NN_CACHE", str(tmp_path / "code"))
    monkeypatch.setattr(cache, "_told", set())
    return tmp_path / "code"


def adding(number: float) -> Any:
    """Return a compiled function of one number; it and its like come from one line."""
    function = lambda x: x + number
    return cache.kept_for_types(SIGNATURE, error_model="numpy")(function)


def hits(function: Any) -> int:
    return int(function._cache_hits.total())


def told(function: Callable[..., Any], *args: Any) -> tuple[Any, list[str]]:
    """Return a result, and the warnings on the way."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        result = function(*args)
    return result, [str(w.message) for w in found]


# -- What a function is known by


def outer(number: float, table: np.ndarray) -> Callable[..., Any]:
    def inner(x: float) -> float:
        return x + number

    return lambda x, y=1.0: inner(x) * table[0] + y


def test_a_function_is_known_by_all_that_it_computes_with() -> None:
    one = outer(1.0, np.ones(2))
    assert fingerprint(one) == fingerprint(outer(1.0, np.ones(2)))
    other = outer(1.0, np.ones(2))
    other.__defaults__ = (2.0,)
    others = [
        outer(2.0, np.ones(2)),  # two functions deep
        outer(1, np.ones(2)),
        outer(1.0, np.array([1.0, 2.0])),
        outer(1.0, np.ones(2, np.float32)),
        other,
        lambda x: x,
        lambda x: -x,
        lambda x: np.exp(x),
        lambda x: np.tanh(x),
    ]
    found = [fingerprint(f) for f in [one, *others]]
    assert None not in found
    assert len(set(found)) == len(found)


def test_names_of_the_module_count_and_functions_may_name_each_other() -> None:
    def defined(constant: str) -> Any:
        space: dict[str, Any] = {"__name__": __name__}
        exec(f"c = {constant}\ndef f(x): return g(x) if x else c\ndef g(x): return f(x - 1)", space)
        return space["f"]

    assert fingerprint(defined("1.0")) == fingerprint(defined("1.0")) != fingerprint(defined("2.0"))


def test_functions_without_a_fingerprint_are_not_cached(place: Path) -> None:
    thing = object()
    assert fingerprint(lambda: thing) is None
    assert fingerprint(lambda: sys.path) is None, "what a module holds may change"


def test_two_functions_of_one_line_are_two(place: Path) -> None:
    assert (adding(1.0)(1.0), adding(2.0)(1.0)) == (2, 3)
    again = adding(1.0), adding(2.0)
    assert list(map(hits, again)) == [1, 1]
    assert (again[0](1.0), again[1](1.0)) == (2, 3)
    assert len(list(place.iterdir())) == 2


def test_the_digest_of_the_code_depends_on_every_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = ["assembly.py", "native/one.py", "native/two.py"]
    (tmp_path / "native").mkdir()
    monkeypatch.setattr(fingerprint_of_code, "HERE", tmp_path)
    for file in files:
        (tmp_path / file).write_text("1")
    found = {fingerprint_of_code.file_digest()}
    for file in files:
        (tmp_path / file).write_text("2")
        found.add(fingerprint_of_code.file_digest())
    assert len(found) == 4


@pytest.mark.parametrize(
    "change",
    [
        lambda patch: patch.setattr(cache.np, "__version__", "9"),
        lambda patch: patch.setattr(cache, "file_digest", lambda: b"others"),
        lambda patch: patch.setattr("numba.config.BOUNDSCHECK", 0),
    ],
    ids=["NumPy", "functions", "settings"],
)
def test_other_versions_and_settings_are_other_code(change: Any, place: Path, monkeypatch: Any) -> None:
    cache.versions.cache_clear()
    before = cache.versions()
    with monkeypatch.context() as patch:
        change(patch)
        cache.versions.cache_clear()
        assert cache.versions() != before
    cache.versions.cache_clear()


# -- Files that are no use


def emptied(file: Path, other: Path) -> None:
    file.write_bytes(b"")


def cut(file: Path, other: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def changed(file: Path, other: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def swapped(file: Path, other: Path) -> None:
    shutil.copy(other, file)


def linked(file: Path, other: Path) -> None:
    file.rename(file.with_name("elsewhere"))
    file.symlink_to(file.with_name("elsewhere"))


def open_to_others(file: Path, other: Path) -> None:
    file.chmod(0o666)


def in_the_way(file: Path, other: Path) -> None:
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize("spoil", [emptied, cut, changed, swapped, linked, open_to_others, in_the_way])
def test_a_file_that_is_no_use_is_made_again(spoil: Callable[..., None], place: Path) -> None:
    adding(1.0)
    (file,) = place.iterdir()
    adding(2.0)
    spoil(file, next(x for x in place.iterdir() if x != file))
    again, texts = told(adding, 1.0)
    assert (again(1.0), hits(again)) == (2, 0)
    assert len(texts) == 1
    assert f"{'is' if spoil is in_the_way else 'was'} unusable (" in texts[0]
    if spoil is in_the_way:  # which cannot be written over either
        assert texts[0].startswith("machine code is not cached")
        assert "and could not be written" in texts[0]
    else:
        assert "and was compiled again" in texts[0]
        assert "not cached" not in texts[0]
        found, texts = told(adding, 1.0)
        assert (hits(found), texts) == (1, [])
        assert not file.is_symlink()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_many_unusable_cache_files_warn_once(place: Path) -> None:
    for number in (1.0, 2.0, 3.0):
        adding(number)
    for file in place.iterdir():
        file.write_bytes(b"")
    found, texts = told(lambda: [adding(number)(1.0) for number in (1.0, 2.0, 3.0)])
    assert found == [2, 3, 4]
    assert len(texts) == 1


def test_on_a_full_disk_nothing_is_kept(place: Path) -> None:
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        found, texts = told(lambda: (adding(1.0)(1.0), adding(1.0)(1.0), adding(2.0)(1.0)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert found == (2, 2, 3)
    assert len(texts) == 1, "one cause, though the files are two"
    assert "could not be written" in texts[0]
    assert not list(place.iterdir())


def test_pruning_removes_the_least_recently_used_files(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MOST", 4)
    place.mkdir(mode=0o700)
    for k in range(5):
        (place / str(k)).write_bytes(b"")
        os.utime(place / str(k), (k, k if k != 1 else 100))
    cache.prune(place)
    assert sorted(file.name for file in place.iterdir()) == ["1", "4"]


# -- Folders that others can write to

unix = pytest.mark.skipif(not hasattr(os, "getuid"), reason="modes of files mean something on Unix only")


@pytest.fixture(params=["itself", "itself, sticky", "the way to it", "a link", "of another user", "not even a folder"])
def open_place(request: pytest.FixtureRequest, place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache folder that other users can write to, with a planted file that has a valid checksum."""
    adding(1.0)
    (file,) = place.iterdir()
    content = pickle.dumps(Planted(str(place.parent / "ran")))
    file.write_bytes(content + cache.digest(file, content))
    if request.param == "itself":
        place.chmod(0o777)
    elif request.param == "itself, sticky":  # others can add files, though they cannot rename those that are there
        place.chmod(0o1777)
    elif request.param == "the way to it":
        place.parent.chmod(0o777)
    elif request.param == "a link":
        place.rename(place.with_name("theirs"))
        place.symlink_to(place.with_name("theirs"))
    elif request.param == "of another user":
        mine = os.getuid()
        monkeypatch.setattr(os, "getuid", lambda: mine + 1)
    else:
        monkeypatch.setenv("TINYGRAD_NN_CACHE", str(file / "below"))
    yield place
    place.parent.chmod(0o700)


class Planted:
    """An object whose unpickling runs code: it makes a folder."""

    def __init__(self, mark: str) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (self.mark,)


@unix
def test_code_is_not_taken_from_where_others_can_write(open_place: Path) -> None:
    before = sorted(open_place.iterdir())
    (first, second), texts = told(lambda: (adding(1.0)(1.0), adding(3.0)(1.0)))
    assert (first, second) == (2, 4)
    assert len(texts) == 1
    assert "TINYGRAD_NN_CACHE" in texts[0]
    assert not (open_place.parent / "ran").exists()
    assert sorted(open_place.iterdir()) == before, "nor is any left there"


@unix
def test_the_folder_is_made_for_its_owner_alone(place: Path) -> None:
    adding(1.0)
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert cache.why_untrusted(place) == ""


def test_an_empty_name_keeps_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYGRAD_NN_CACHE", "")
    found, texts = told(adding, 1.0)
    assert (found(1.0), texts) == (2, [])
    assert not place.exists()


# -- Arrays that share no memory


def doubling(no_alias: bool) -> Any:
    """Return a compiled function of many arrays, each of which it writes into; it and its like come from one line."""
    text = ", ".join(f"a{k}" for k in range(20))
    lines = [f"        a{k}[i] = a{k - 1}[i] * 2.0" for k in range(1, 20)]
    space: dict[str, Any] = {"__name__": __name__}
    exec(f"def f({text}):\n    for i in range(64):\n" + "\n".join(lines), space)
    signature = f"void({', '.join(['f8[::1]'] * 20)})"
    return cache.kept_for_types(signature, no_alias, nogil=True, error_model="numpy")(space["f"])


def test_arrays_that_share_no_memory_are_worked_on_several_entries_at_once(place: Path) -> None:
    together, distinct = doubling(False), doubling(True)
    assert fingerprint(together) != fingerprint(distinct)
    (code,), (quick,) = together.inspect_llvm().values(), distinct.inspect_llvm().values()
    assert "x double>" not in code  # there are too many arrays to compare
    assert "x double>" in quick
    rows = np.zeros((20, 64))
    rows[0] = np.arange(64.0)
    distinct(*rows)
    assert (rows == rows[0] * 2.0 ** np.arange(20)[:, None]).all()


def test_machine_code_from_disk_keeps_its_aliasing_assumptions(place: Path) -> None:
    assert not hits(doubling(True))
    assert not hits(doubling(False))
    assert hits(doubling(True))


def test_a_loop_that_threads_share_is_found_again(place: Path) -> None:
    pytest.importorskip("scipy")
    made = nn.compile(lambda x: np.sqrt(x) * x + x, backend="numba").plan(np.ones((1200, 1000))).writer
    assert made.machine.parallel
    found = []
    for _ in range(2):
        machine.kernel_function.cache_clear()
        found.append(list(made.machine.compiled().values()))
    assert all(map(hits, found[1]))


@pytest.mark.parametrize("on", [True, False])
def test_the_collector_is_off_while_a_plan_is_made_and_then_as_it_was(on: bool) -> None:
    seen = []

    def step(x: Any, fails: bool) -> Any:
        seen.append(gc.isenabled())
        if fails:
            raise ValueError("no plan")
        return x * 2.0

    was = gc.isenabled()
    (gc.enable if on else gc.disable)()
    try:
        compiled = nn.compile(step, backend="numpy")
        compiled(np.ones(3), False)
        assert gc.isenabled() == on
        with pytest.raises(ValueError, match="no plan"):
            compiled(np.ones(3), True)
        assert gc.isenabled() == on
    finally:
        (gc.enable if was else gc.disable)()
    assert seen
    assert not any(seen)


@pytest.mark.parametrize("on", [True, False])
def test_the_collector_is_off_while_numba_compiles_and_then_as_it_was(on: bool) -> None:
    seen = []

    def compiling(*args: int) -> None:
        seen.append(gc.isenabled())
        if args:
            raise ValueError("does not compile")

    was = gc.isenabled()
    (gc.enable if on else gc.disable)()
    try:
        without_collector()(compiling)()
        with pytest.raises(ValueError, match="does not compile"):
            without_collector()(compiling)(1)
        assert (seen, gc.isenabled()) == ([False, False], on)
    finally:
        (gc.enable if was else gc.disable)()


def test_only_a_kernel_that_writes_over_an_argument_may_be_given_memory_twice() -> None:
    def step(w: Any, x: Any) -> Any:
        return w - 0.1 * np.sin(x) * np.cos(w), np.sum(np.exp(x) * x)

    w, x = np.ones(8), np.linspace(0.0, 1.0, 8)
    for donate, wanted in (((), ["True"]), ((0,), ["False"])):
        plan = nn.compile(step, backend="numba", donate=donate).plan(w, x)
        texts = plan.writer.machine.functions
        assert [part.partition(")")[0] for text in texts for part in text.split("no_alias=")[1:]] == wanted, donate


@pytest.mark.parametrize(
    ("platform", "given", "below"),
    [
        ("linux", {"XDG_CACHE_HOME": "own"}, "own/tinygrad_nn"),
        ("linux", {"XDG_CACHE_HOME": ""}, ".cache/tinygrad_nn"),
        ("linux", {}, ".cache/tinygrad_nn"), ("darwin", {"XDG_CACHE_HOME": "own"}, "Library/Caches/tinygrad_nn"),
        ("win32", {"LOCALAPPDATA": "local"}, "local/tinygrad_nn/cache"),
        ("win32", {}, "AppData/Local/tinygrad_nn/cache"), ("linux", {"TINYGRAD_NN_CACHE": "named"}, "named"),
        ("linux", {"TINYGRAD_NN_CACHE": "~/named"}, "named"),
        ("linux", {"TINYGRAD_NN_CACHE": "", "XDG_CACHE_HOME": "own"}, None),
    ],
)  # fmt: skip
def test_machine_code_is_kept_where_a_system_keeps_such_things(
    platform: str, given: dict[str, str], below: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TINYGRAD_NN_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, place in given.items():
        monkeypatch.setenv(name, place if place[:1] in ("", "~") else str(tmp_path / place))
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", platform)
    found = cache.folder()
    assert found == (None if below is None else (tmp_path / below).resolve())
    if found:
        assert stat.S_IMODE(found.stat().st_mode) == 0o700
