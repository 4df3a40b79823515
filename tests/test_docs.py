"""The pages tell the truth: their Python prints what they show, their links lead somewhere, their options exist."""

import contextlib
import doctest
import importlib
import io
import re
import shlex
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tinygrad_nn.ops.scipy import load
from tinygrad_nn.primitive import METHODS, OVERRIDES, REGISTRY

ROOT = Path(__file__).resolve().parents[1]
PAGES = [page for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))) if page.exists()]


@dataclass(frozen=True)
class Block:
    """A fenced block: info string, text, line of its first fence, and whether only blank lines part it from another."""

    info: str
    text: str
    line: int
    follows: bool


def blocks(page: str) -> list[Block]:
    """All fenced blocks of a page, in order."""
    found: list[Block] = []
    fence, follows, start, body = "", False, 0, []
    for number, line in enumerate(page.splitlines(), 1):
        mark = re.match(r"\s*(`{3,}|~{3,})\s*(.*?)\s*$", line)
        if not fence and mark:
            fence, info, start, body = mark[1], mark[2], number, []
        elif fence and mark and mark[1].startswith(fence) and not mark[2]:
            found.append(Block(info, textwrap.dedent("".join(text + "\n" for text in body)), start, follows))
            fence, follows = "", True
        elif fence:
            body.append(line)
        elif line.strip():
            follows = False
    if fence:
        raise ValueError(f"line {start}: the block is never closed")
    return found


def run_page(page: str, name: str) -> list[str]:
    """Run a page's Python from top to bottom in one namespace; return what is not as the page says."""
    problems: list[str] = []
    namespace: dict[str, Any] = {"__name__": "__main__"}
    before, printed = None, ""
    for block in blocks(page):
        where = f"{name}, line {block.line}"
        if block.info == "python":
            out = io.StringIO()
            code = compile("\n" * block.line + block.text, name, "exec")  # so a traceback shows the page's own lines
            with contextlib.redirect_stdout(out):
                exec(code, namespace)
            printed = out.getvalue()
        elif block.info == "pycon":
            problems += run_session(block, namespace, where)
        elif block.info == "text" and block.follows and before == "python" and printed != block.text:
            problems.append(f"{where}: the page shows\n{block.text}but the block above it prints\n{printed}")
        elif re.match(r"py", block.info):
            problems.append(f"{where}: ```{block.info} is not run; write ```python or ```pycon")
        before = block.info
    return problems


def run_session(block: Block, namespace: dict[str, Any], where: str) -> list[str]:
    """Check a block of `>>>` lines by doctest; names that it binds stay bound for the blocks after it."""
    test = doctest.DocTestParser().get_doctest(block.text, {}, where, where, block.line)
    if not test.examples:
        return [f"{where}: a pycon block without >>>"]
    test.globs = namespace
    said: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=said.append, clear_globs=False)
    return ["".join(said)] if said else []


def targets(page: str) -> list[str]:
    """Every link and picture of a page that leads to a file, without its anchor."""
    prose = re.sub(r"^\s*(`{3,}|~{3,}).*?^\s*\1\s*$", "", page, flags=re.DOTALL | re.MULTILINE)
    prose = re.sub(r"\$\$.*?\$\$|\$[^$\n]+\$|`[^`\n]+`", "", prose, flags=re.DOTALL)
    found = re.findall(r"\]\(\s*<?([^)\s>]+)>?[^)]*\)", prose)
    found += re.findall(r"^\s*\[[^\]]+\]:\s*(\S+)", prose, flags=re.MULTILINE)
    found += re.findall(r"<(?:img|a|source)\b[^>]*?\b(?:src|href|srcset)=[\"']([^\"']+)", prose)
    return [target.split("#")[0] for target in found if not re.match(r"[a-z][a-z+.-]*:|#", target)]


def commands(page: str) -> list[list[str]]:
    """Every call of `tinygrad-nn` in a page's shell blocks, split into words."""
    lines: list[str] = []
    for block in blocks(page):
        if block.info in ("bash", "sh"):
            lines += block.text.replace("\\\n", " ").splitlines()
    words = [shlex.split(re.sub(r"^\s*\$ ", "", line), comments=True) for line in lines]
    calls: list[list[str]] = []
    for line in words:
        ends = [i for i, word in enumerate(line) if word in ("&&", "||", ";", "|")]
        starts = [0, *(end + 1 for end in ends)]
        calls += [line[start:end] for start, end in zip(starts, [*ends, len(line)], strict=True)]
    return [call for call in calls if call and call[0] == "tinygrad-nn"]


def unknown_options(call: list[str], app: Any) -> list[str]:
    """The words of a call of the command that its `--help` does not know: its subcommand, its options."""
    testing = importlib.import_module("typer.testing")
    importlib.import_module("typer.rich_utils")  # keeps the TERMINAL_WIDTH of its import, so not inside `screen`

    def help_of(*path: str) -> str:
        screen = {"COLUMNS": "240", "TERMINAL_WIDTH": "240", "NO_COLOR": "1", "TERM": "dumb"}
        result = testing.CliRunner().invoke(app, [*path, "--help"], env=screen)
        return str(result.output) if result.exit_code == 0 else ""

    path = [word for word in call[1:2] if not word.startswith("-")]
    text = help_of(*path)
    if not text:
        return path
    known = set(re.findall(r"(?<![\w-])--?[A-Za-z][\w-]*", text))
    options = [word.split("=")[0] for word in call[1:] if re.match(r"--?[A-Za-z]", word)]
    return [option for option in options if option not in known]


def app_of(cli: ModuleType) -> Any:
    """The typer application in the module of the command."""
    typer = importlib.import_module("typer")
    return next(value for value in vars(cli).values() if isinstance(value, typer.Typer))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks_print_what_the_page_shows(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tables = REGISTRY, OVERRIDES, METHODS
    load()  # the rows of special functions, which a page may be the first to use
    before = [dict(table) for table in tables]
    try:
        assert not run_page(page.read_text(encoding="utf-8"), str(page))
    finally:  # a primitive that a page declares is its own
        for table, kept in zip(tables, before, strict=True):
            table.clear()
            table.update(kept)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_lead_to_files(page: Path) -> None:
    missing = [target for target in targets(page.read_text(encoding="utf-8")) if not (page.parent / target).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_shell_commands_use_options_that_exist(page: Path) -> None:
    calls = commands(page.read_text(encoding="utf-8"))
    if calls:
        app = app_of(importlib.import_module("tinygrad_nn.cli"))
        assert not {shlex.join(call): unknown for call in calls if (unknown := unknown_options(call, app))}


# The checks above, checked on pages that lie.

PAGE = """\
```python
x = 1
print(x + 1)
```

```text
{shown}
```
"""


def test_a_right_page_passes_and_a_wrong_output_is_reported() -> None:
    assert run_page(PAGE.format(shown=2), "page") == []
    (problem,) = run_page(PAGE.format(shown=3), "page")
    assert re.search(r"line 6: the page shows\n3\n.* prints\n2", problem)


def test_text_after_prose_is_not_taken_for_output() -> None:
    assert run_page("```python\nprint(1)\n```\nA file:\n```text\n2\n```\n", "page") == []


def test_blocks_share_names_and_sessions_are_checked() -> None:
    page = "```python\nx = 1\n```\n```pycon\n>>> y = x + 1\n>>> y\n{}\n```\n```python\nassert y == 2\n```\n"
    assert run_page(page.format(2), "page") == []
    (problem,) = run_page(page.format(5), "page")
    assert re.search(r"Expected:\n\s+5\nGot:\n\s+2", problem)


def test_an_error_in_a_block_is_not_swallowed() -> None:
    with pytest.raises(NameError, match="nowhere"):
        run_page("```python\nnowhere\n```\n", "page")


@pytest.mark.parametrize("info", ["python no-run", "py", "python3"])
def test_python_that_would_not_run_is_reported(info: str) -> None:
    (problem,) = run_page(f"```{info}\nx = 1\n```\n", "page")
    assert info in problem


def test_an_unclosed_block_is_reported() -> None:
    with pytest.raises(ValueError, match="line 2: the block is never closed"):
        blocks("text\n```python\nx = 1\n")


def test_targets_are_found_in_every_form_and_not_in_code_or_formulas() -> None:
    page = (
        '[a](a.md#part) ![b](b.svg "title") <img src="c.png"> [web](https://example.org) [up](#part)\n\n[d]: d.md\n\n'
        "`[no](no.md)` $f[x](y)$\n\n```text\n[no](no.md)\n```\n"
    )
    assert targets(page) == ["a.md", "b.svg", "d.md", "c.png"]


def test_commands_are_found_and_unknown_options_reported() -> None:
    page = "```sh\n$ pip install . && tinygrad-nn train --epochs 3 \\\n    --lam=0.1 # why\nls -l\n```\n"
    (call,) = commands(page)
    assert call == ["tinygrad-nn", "train", "--epochs", "3", "--lam=0.1"]

    typer = importlib.import_module("typer")
    app = typer.Typer()

    @app.command()
    def train(epochs: int = 20) -> None:
        """Train."""

    @app.command()
    def predict() -> None:
        """Predict."""

    assert unknown_options(call, app) == ["--lam"]
    assert unknown_options(["tinygrad-nn", "train", "--epochs", "3"], app) == []
    assert unknown_options(["tinygrad-nn", "fly"], app) == ["fly"]
    assert unknown_options(["tinygrad-nn", "--help"], app) == []


# ---- the worked example of a primitive is a row and a case that pass

TRY = """
from tinygrad_nn.gradcheck import check_primitive
x = np.array([[0.5, -1.5, 3.0], [-0.25, 2.0, 1.0]])
assert np.array_equal(row.call(x), row.reference(x))
t = Tensor(x)
t.isru().sum().backward()
assert np.allclose(t.grad, 1 / (1 + x**2) ** 1.5)
report = check_primitive("isru")
assert report.ok, str(report)
"""


def test_the_primitive_that_contributing_adds_is_right() -> None:
    page = (ROOT / "docs" / "contributing.md").read_text(encoding="utf-8")
    code = [block.text for block in blocks(page) if block.info == "python"]
    assert len(code) == 2
    done = subprocess.run([sys.executable], input="\n".join([*code, TRY]), cwd=ROOT, capture_output=True, text=True,
                          check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
