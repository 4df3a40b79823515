"""The command: what it prints and writes, what it refuses, and that nothing half-written is left behind."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tinygrad_nn import History, Predict, load_digits, load_iris, r2_score
from tinygrad_nn.cli import main
from tinygrad_nn.cli.errors import as_options
from tinygrad_nn.cli.run import Options, execute, prepare
from tinygrad_nn.io import load_network
from tinygrad_nn.solver import Epoch

ROOT = Path(__file__).resolve().parents[1]
COMMAND = [sys.executable, "-c", "import sys; from tinygrad_nn.cli import main; sys.exit(main())"]
FILES = ["confusion.png", "graph.svg", "history.json", "loss.png", "model.safetensors"]
QUICK = ["--epochs", "2", "--hidden", "5"]
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test runs in a folder of its own, before a terminal of 80 columns."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.delenv("FORCE_COLOR", raising=False)


def flowers(path: str = "flowers.csv") -> str:
    iris = load_iris()
    names = [iris.class_names[k] for k in iris.y]
    with open(path, "w", newline="", encoding="utf-8") as file:
        rows = [[*row, name] for row, name in zip(iris.x.tolist(), names, strict=True)]
        csv.writer(file).writerows([[*iris.feature_names, "species"], *rows])
    return path


def houses(path: str = "houses.csv") -> str:
    rng = np.random.default_rng(0)
    size, age = rng.uniform(50, 250, 120), rng.uniform(0, 80, 120)
    price = 3000 * size - 900 * age + rng.normal(0, 5000, 120)
    rows = zip(size.round(1), age.round(), price.round(), strict=True)
    Path(path).write_text("size,age,price\n" + "".join(f"{s},{a},{p}\n" for s, a, p in rows), encoding="utf-8")
    return path


# What it does.


def test_train_is_main_jl(capsys: Capture) -> None:
    assert main(["train"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    for part in ("4 - 40 relu - 3 softmax", "crossentropy by sgd, learning rate 0.03", "105 train, 15 val, 30 test",
                 "20 epochs in batches of 16", "Confusion matrix", "precision   recall       F1", "accuracy = 0.9",
                 "The three roads agree (all 323 entries checked numerically).", "\n   20 "):  # fmt: skip
        assert part in said.out
    assert max(map(len, said.out.splitlines())) <= 80
    out = Path("tinygrad-nn-out")
    assert sorted(os.listdir(out)) == FILES
    assert all((out / name).read_bytes().startswith(b"\x89PNG") for name in ("loss.png", "confusion.png"))
    drawn = " ".join(ET.fromstring((out / "graph.svg").read_text(encoding="utf-8")).itertext())
    assert all(word in drawn for word in ("layer 1", "layer 2", "relu", "softmax_crossentropy", "W", "grad"))
    history = History.from_json((out / "history.json").read_text(encoding="utf-8"))
    assert len(history) == len(history.val_loss) == len(history.metrics["val_accuracy"]) == 20
    network = load_network(out / "model.safetensors")
    assert [layer.activation for layer in network.layers] == ["relu", "softmax"]
    assert (network.scaler, network.classes) == (None, load_iris().class_names)
    assert network.about["seed"] == 0


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(capsys: Capture) -> None:
    runs = []
    for out, seed in (("a", "7"), ("b", "7"), ("c", "8")):
        assert main(["train", *QUICK, "--dropout", "0.2", "--seed", seed, "--out", out]) == 0
        printed = capsys.readouterr().out.replace(f"  {out}/", "  x/").replace(f" {out}/", " x/")
        runs.append((printed, *(Path(out, name).read_bytes() for name in FILES)))
    assert runs[0] == runs[1]
    assert runs[0][-1] != runs[2][-1]


def test_both_roads_train_the_same_weights() -> None:
    finals = []
    for gradients in ("graph", "manual"):
        run = prepare(Options(gradients=gradients, dropout=0.1, epochs=5))
        execute(run)
        finals.append([np.asarray(layer.W.data) for layer in run.network.layers])
    assert all(np.allclose(a, b, rtol=1e-10, atol=0) for a, b in zip(*finals, strict=True))


def test_the_option_gradients_selects_the_road(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    monkeypatch.setattr("tinygrad_nn.cli.run.fit", lambda *_, gradients, **__: taken.append(gradients))
    for gradients in ("graph", "Manual"):
        execute(prepare(Options(gradients=gradients)))
    assert taken == ["graph", "Manual"]


def test_the_scaling_is_that_of_the_rows_that_are_trained_on() -> None:
    run = prepare(Options(data=houses(), target="price"))
    for x in (run.parts["train"][0], run.parts["train"][1]):
        assert np.allclose([x.mean(axis=0), x.std(axis=0)], [[0], [1]])
    assert not np.allclose(run.parts["test"][0].mean(axis=0), 0, atol=1e-3)


def test_stratify_keeps_the_share_of_each_class() -> None:
    def counts(stratify: bool) -> list[list[int]]:
        parts = prepare(Options(stratify=stratify)).parts
        return [parts[name][1].sum(axis=0).astype(int).tolist() for name in ("train", "val", "test")]

    assert counts(True) == [[35] * 3, [5] * 3, [10] * 3]
    assert counts(False) != counts(True)


def test_looking_at_the_gradients_does_not_change_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    options = Options(epochs=2, dropout=0.3)
    before = execute(prepare(options)).history.loss
    monkeypatch.setattr("tinygrad_nn.cli.run.compare_roads", lambda *_, **__: None)
    monkeypatch.setattr("tinygrad_nn.cli.run.draw_masks", lambda *_: None)
    assert execute(prepare(options)).history.loss == before


def test_a_table_of_classes_goes_there_and_back(capsys: Capture) -> None:
    assert main(["train", "--data", flowers(), "--target", "species", "--out", "o", "--optimizer", "adam"]) == 0
    assert "150 rows of 4 numbers, scaled" in capsys.readouterr().out
    network = load_network("o/model.safetensors")
    assert network.target == "species"
    assert network.scaler is not None

    iris = load_iris()  # the columns in another order, one more, and no target
    rows = [["id", *reversed(iris.feature_names)], *([k, *row[::-1]] for k, row in enumerate(iris.x.tolist()))]
    with open("new.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=";").writerows(rows)
    assert main(["predict", "o/model.safetensors", "new.csv", "--out", "found.csv"]) == 0
    said = capsys.readouterr().out
    assert "and 130 more rows" in said
    assert "150 predictions are in found.csv" in said
    header, *found = csv.reader(Path("found.csv").read_text(encoding="utf-8").splitlines())
    assert header == ["species", "p(setosa)", "p(versicolor)", "p(virginica)"]
    probabilities = np.array([[float(cell) for cell in row[1:]] for row in found])
    scaler = network.scaler
    assert (probabilities == Predict(network.layers, (iris.x - scaler.mean) / scaler.scale)).all()
    assert [row[0] for row in found] == [network.classes[k] for k in probabilities.argmax(axis=1)]
    assert np.mean([row[0] == iris.class_names[k] for row, k in zip(found, iris.y, strict=True)]) > 0.9


def test_a_table_of_numbers_goes_there_and_back(capsys: Capture) -> None:
    assert main(["train", "--data", houses(), "--target", "price", "--out", "o"]) == 0
    said = capsys.readouterr().out
    assert "2 - 40 relu - 1 linear" in said
    assert "mse by sgd" in said
    assert float(re.findall(r"R2 = ([\d.]+)", said)[0]) > 0.95
    assert sorted(os.listdir("o")) == [name for name in FILES if name != "confusion.png"]
    assert main(["predict", "o/model.safetensors", "houses.csv", "--out", "found.csv", "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    price, found = (np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2)[:, -1] for path in ("houses.csv", "found.csv"))
    assert r2_score(price, found) > 0.95, "predictions are in the unit of the target"


def test_numbers_can_be_classes_and_features_can_be_chosen(capsys: Capture) -> None:
    Path("t.csv").write_text("a,b,note,y\n" + "".join(f"{k},{k % 7},text,{k % 2 + 1}\n" for k in range(40)))
    call = ["train", "--data", "t.csv", "--target", "y", "--kind", "classification", "--features", "a, b", "--stratify"]
    assert main([*call, *QUICK, "--out", "o"]) == 0
    assert "to predict  1, 2" in capsys.readouterr().out
    assert load_network("o/model.safetensors").features == ("a", "b")


def test_many_classes_fit_80_columns(capsys: Capture) -> None:
    assert main(["train", "--dataset", "Digits", *QUICK, "--dtype", "float32", "--out", "o"]) == 0
    digits = load_digits()
    np.savetxt("d.csv", digits.x[:3], delimiter=",", header=",".join(digits.feature_names), comments="")
    assert main(["predict", "o/model.safetensors", "d.csv"]) == 0
    said = capsys.readouterr().out
    assert "probability" in said
    assert re.search(r"\(39\d of 385 entries|all 385 entries", said)
    assert max(map(len, said.splitlines())) <= 80
    assert load_network("o/model.safetensors").layers[0].dtype == np.float32


def test_names_that_look_like_markup_are_printed_as_they_are(capsys: Capture) -> None:
    names = ["[red]", "[/]", ":smile:"]
    Path("m.csv").write_text("x,[bold]\n" + "".join(f"{k},{names[k % 3]}\n" for k in range(60)), encoding="utf-8")
    assert main(["train", "--data", "m.csv", "--target", "[bold]", *QUICK, "--out", "o"]) == 0
    assert main(["predict", "o/model.safetensors", "m.csv"]) == 0
    said = capsys.readouterr().out
    assert all(said.count(name) >= 4 for name in names)
    assert "p([red])" in said


@pytest.mark.parametrize(
    "options",
    [
        ["--loss", "BinaryCrossEntropy", "--optimizer", "RMSprop", "--learning-rate", "0.01"],
        ["--loss", "mae", "--regularization", "ElasticNet", "--lam", "0.01", "--r", "0.3", "--dropout", "0.2"],
        ["--hidden", "6,5", "--activation", "tanh,hard_tanh(-2,2)", "--distribution", "U", "--optimizer", "nesterov"],
        ["--hidden", "none", "--scale", "--gradients", "manual", "--batch-size", "500", "--val-size", "0"],
        ["--train-size", "1", "--val-size", "0", "--output", "sigmoid", "--no-progress"],
    ],
)
def test_options_work_together(options: list[str], capsys: Capture) -> None:
    assert main(["train", "--epochs", "2", *options]) == 0
    said = capsys.readouterr().out
    assert "The three roads agree" in said
    assert ("there is no test part" in said) is ("--train-size" in options)
    assert sorted(os.listdir("tinygrad-nn-out")) == FILES


def test_numbers_of_activations_may_have_commas() -> None:
    layers = prepare(Options(hidden="6,5,4", activation="hard_tanh(-2, 2), elu(0.5),gelu")).network.layers
    assert [layer.activation for layer in layers] == ["hard_tanh(-2,2)", "elu(0.5)", "gelu", "softmax"]


def test_quiet_prints_nothing(capsys: Capture) -> None:
    assert main(["train", *QUICK, "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_version_and_help(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda name: {"tinygrad-nn": "1.2.3"}[name])
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == "tinygrad-nn 1.2.3\n"
    assert main(["train", "--help"]) == 0
    said = capsys.readouterr().out
    assert "--learning-rate" in said
    assert max(map(len, said.splitlines())) <= 80
    main([])
    said = capsys.readouterr()
    assert "predict" in said.out + said.err
    assert "error" not in said.err


def test_help_starts_without_what_computes_and_draws() -> None:
    code = ("import sys, tinygrad_nn.cli; "
            "print(*(m for m in ('matplotlib', 'rich', 'safetensors', 'tinygrad_nn.viz') if m in sys.modules))")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


# What it refuses: one line that says what came, what is needed, and how to mend it; and nothing is written.

TABLES = {
    "missing.csv": "a,b,c\n1,2,x\n3,,y\n",
    "text.csv": "a,b,c\n1,2,x\n3,red,y\n",
    "nan.csv": "a,b,c\n1,2,x\n3,nan,y\n",
    "short.csv": "a,b,c\n1,2,x\n3,4\n",
    "empty.csv": "",
    "head.csv": "a,b,c\n",
    "two.csv": "a,a,c\n1,2,x\n3,4,y\n",
    "one_class.csv": "a,c\n1,x\n2,x\n",
    "tiny.csv": "a,c\n1,x\n2,y\n",
    "mixed.csv": "a,c\n1,x\n2,3\n",
}
REFUSED = [
    (["--data", "missing.csv", "--target", "c"], r"line 3 \(row 2\), column 'b': the cell is empty.*Fill it in"),
    (["--data", "text.csv", "--target", "c"], r"line 3.*'b': a non-numeric feature: 'red'.*--features NAME,NAME"),
    (["--data", "nan.csv", "--target", "c"], r"line 3.*column 'b': 'nan' is not a finite number|stands for a missing"),
    (["--data", "missing.csv", "--target", "b", "--features", "a"], r"line 3.*'b': the cell is empty, and the target"),
    (["--data", "short.csv", "--target", "c"], r"line 3: 2 cells, but the first line names 3"),
    (["--data", "empty.csv", "--target", "c"], r"the file is empty"),
    (["--data", "head.csv", "--target", "c"], r"the file has only its first line"),
    (["--data", "two.csv", "--target", "c"], r"column 'a' appears twice, as columns"),
    (["--data", "one_class.csv", "--target", "c"], r"every row of the target 'c' is 'x'"),
    (["--data", "tiny.csv", "--target", "c"], r"2 rows with --test-size 0\.2 give 1 train, 0 test.*Raise --test-size"),
    (["--data", "mixed.csv", "--target", "c"], r"mixes texts.*--kind classification"),
    (["--data", "houses.csv", "--target", "prise"], r"no target column 'prise'.*Did you mean 'price'"),
    (["--data", "houses.csv", "--target", "price", "--features", "sise"], r"no feature column 'sise'.*mean 'size'"),
    (["--data", "houses.csv", "--target", "price", "--features", "price"], r"also among the.*out of --features"),
    (["--data", "house.csv", "--target", "price"], r"house\.csv: no such file in .*Did you mean 'houses\.csv'"),
    (["--data", ".", "--target", "price"], r"is a folder"),
    (["--data", "houses.csv"], r"--data houses\.csv needs the name of the column to predict; add --target COLUMN"),
    (["--data", "houses.csv", "--target", "price", "--loss", "crossentropy"], r"needs classes.*--loss mse.*--kind"),
    (["--data", "houses.csv", "--target", "price", "--kind", "clustering"], r"--kind clustering; known kinds"),
    (["--data", "houses.csv", "--target", "price", "--encoding", "utf-99"], r"--encoding utf-99 is not known"),
    (["--dataset", "digits", "--data", "houses.csv"], r"--dataset digits and --data houses\.csv are two data sets"),
    (["--target", "price"], r"add --data FILE\.csv"),
    (["--kind", "regression"], r"bundled data sets hold classes"),
    (["--dataset", "mnist"], r"unknown --dataset mnist; known are iris, digits"),
    (["--loss", "hinge"], r"unknown loss 'hinge'; known are mae, mse, rmse, binarycrossentropy, crossentropy"),
    (["--optimizer", "adm"], r"unknown optimizer 'adm'; known are sgd, momentum.*Did you mean 'adam'"),
    (["--activation", "swish"], r"unknown activation 'swish'; known are sigmoid, softmax"),
    (["--output", "swish"], r"unknown activation 'swish'; known are sigmoid, softmax"),
    (["--activation", "relu,relu"], r"names 2 activations for 1 hidden layers"),
    (["--distribution", "x"], r"--distribution x; known are 'u' \(uniform\) and 'n'"),
    (["--regularization", "l3"], r"unknown --regularization 'l3'; known are none, l1, l2, elasticnet"),
    (["--regularization", "l2"], r"needs a strength; add --lam 0\.001"),
    (["--regularization", "l2", "--lam", "-1"], r"--lam -1\.0; a penalty needs a finite strength of at least 0"),
    (["--lam", "0.1"], r"no effect without a penalty; add --regularization l2"),
    (["--r", "0.3"], r"--r 0\.3 has no effect without elasticnet; add --regularization elasticnet"),
    (["--r", "0.5", "--regularization", "l2", "--lam", "0.1"], r"--r 0\.5 has no effect without elasticnet"),
    (["--r", "1"], r"--r 1\.0; the share of l1 in elasticnet must be at least 0 and below 1"),
    (["--dropout", "1"], r"--dropout 1\.0; the probability of dropping a unit must be at least 0 and below 1"),
    (["--epochs", "0"], r"--epochs 0; it must be at least 1"),
    (["--epochs", "many"], r"'many' is not a whole number"),
    (["--batch-size", "0"], r"--batch-size 0; it must be at least 1"),
    (["--learning-rate", "0"], r"--learning-rate 0\.0; a step needs a positive"),
    (["--learning-rate", "inf"], r"--learning-rate inf; a step needs a positive finite size"),
    (["--learning-rate", "fast"], r"'fast' is not a number"),
    (["--hidden", "40,x"], r"--hidden 40,x: 'x' is not a layer width.*--hidden 64,32"),
    (["--hidden", "-3"], r"'-3' is not a layer width"),
    (["--seed", "-1"], r"--seed -1; a seed is a whole number of at least 0"),
    (["--dtype", "int8"], r"unknown --dtype int8; known are float64, float32"),
    (["--gradients", "numerical"], r"known are graph, manual"),
    (["--train-size", "0.9", "--val-size", "0.2"], r"there is only 1 to share"),
    (["--train-size", "1.5"], r"--train-size 1\.5; a size is a share of the rows"),
    (["--test-size", "0.1"], r"= 0\.9 would leave rows unused.*--test-size 0\.2"),
    (["--train-size", "0"], r"the train part would be empty"),
    (["--output", "linear"], r"--output softmax"),
    (["--epoch", "3"], r"No such option: --epoch.*See .*train --help"),
    (["extra"], r"extra.*See .*train --help"),
]  # fmt: skip


@pytest.mark.filterwarnings("default")  # as in a terminal, where warnings would be a second line
@pytest.mark.parametrize(("options", "match"), REFUSED, ids=[" ".join(options) for options, _ in REFUSED])
def test_train_refuses(options: list[str], match: str, capsys: Capture) -> None:
    houses()
    for name, text in TABLES.items():
        Path(name).write_text(text)
    before = sorted(os.listdir())
    assert main(["train", "--out", "o", *options]) == 2
    said = capsys.readouterr()
    assert re.search(match, said.err), said.err
    assert said.err.count("\n") == 1
    assert said.err.startswith("tinygrad-nn: error: ")
    assert said.err[-2] in ".?", "it ends in a sentence"
    assert "Traceback" not in said.err + said.out
    assert sorted(os.listdir()) == before


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (["--learning-rate", "1e300"], "the loss became nan: the training diverged. Lower --learning-rate 1e.300"),
        (["--learning-rate", "1e9"], r"the loss grew from 4\.\d\d to \d\.\d\de.08 in epoch 1: the training diverged"),
        (["--loss", "mse", "--output", "linear", "--learning-rate", "30", "--epochs", "1"], r"grew from .* to .*e\+35"),
        (["--optimizer", "adam", "--learning-rate", "1e200"], "diverged"),
    ],
)
def test_train_that_diverges_ends_with_the_reason_in_short_lines(
    options: list[str], match: str, capsys: Capture
) -> None:
    assert main(["train", "--out", "o", *options]) == 1
    said = capsys.readouterr()
    assert re.search(match + ".*Nothing was written", said.err)
    assert said.err.count("\n") == 1
    assert not re.search(r"\d{12}", said.out + said.err)
    assert not Path("o").exists()


def test_train_refuses_an_output_that_is_no_folder_before_it_computes(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tinygrad_nn.cli.run.fit", lambda *_, **__: pytest.fail("it computed"))
    Path("file").write_text("mine")
    for out in ("file", "file/deeper"):
        assert main(["train", "--out", out]) == 2
        assert "file is a file; a folder is needed there" in capsys.readouterr().err
    assert Path("file").read_text() == "mine"


def test_predict_refuses(capsys: Capture) -> None:
    assert main(["train", "--data", houses(), "--target", "price", *QUICK, "--out", "o", "--quiet"]) == 0
    model = "o/model.safetensors"
    content = Path(model).read_bytes()
    Path("cut").write_bytes(content[:-1])
    Path("changed").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    Path("odd.csv").write_text("size,age\n50,\n")
    Path("text.csv").write_text("size,age\n50,old\n")
    before = sorted(os.listdir())
    table = Path("houses.csv").read_bytes()
    for arguments, match in (
        ([model, "nowhere.csv"], r"nowhere\.csv: no such file"),
        (["nowhere", "houses.csv"], r"nowhere: no such file"),
        ([model, flowers_head()], r"no feature column 'size' \(nor 'age'\)"),
        ([model, "odd.csv"], r"column 'age': the cell is empty"),
        ([model, "text.csv"], r"column 'age': a non-numeric feature: 'old'"),
        (["cut", "houses.csv"], r"is cut off: 1 of .* bytes are missing"),
        (["changed", "houses.csv"], r"was changed after it was written"),
        (["houses.csv", "houses.csv"], r"is not a safetensors file"),
        (["o", "houses.csv"], r"o is a folder; pass the file in it"),
        ([model, "houses.csv", "--out", "houses.csv"], r"would overwrite houses\.csv"),
        ([model, "houses.csv", "--out", f"./{model}"], r"would overwrite o/model"),
        ([model, "houses.csv", "--out", "o"], r"is a folder; name a file in it"),
        ([model, "houses.csv", "--out", "no/p.csv"], r"the folder 'no' does not exist"),
        ([model], r"Missing argument 'FILE\.csv'.*See .*predict --help"),
    ):
        assert main(["predict", *arguments]) == 2
        said = capsys.readouterr()
        assert re.search(match, said.err), said.err
        assert said.err.count("\n") == 1
        assert said.out == ""
    assert sorted(os.listdir()) == sorted([*before, "heads.csv"])
    assert Path("houses.csv").read_bytes() == table


def flowers_head() -> str:
    Path("heads.csv").write_text("petal,sepal\n1,2\n")
    return "heads.csv"


def test_messages_of_the_library_are_said_in_options() -> None:
    assert as_options("Solver: learning_rate=-1.0; e.g. lam=0.03.") == "--learning-rate -1.0; e.g. --lam 0.03."
    assert as_options("say kind='classification'.") == "say --kind classification."
    assert as_options("Layer(n_in=3) and x.data=4") == "Layer(n_in=3) and x.data=4"


# Nothing half-written.


FULL = OSError(28, "No space left on device")
STEPS = ["cli.outputs.save_network", "cli.outputs.write_whole", "cli.outputs.draw_graph", "viz.plot_confusion"]


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run, to be copied."""
    folder = tmp_path_factory.mktemp("whole") / "old"
    assert main(["train", *QUICK, "--quiet", "--out", str(folder)]) == 0
    return folder


@pytest.mark.parametrize("broken", [*STEPS, "files.atomic.os.fsync"])
@pytest.mark.parametrize("error", [FULL, KeyboardInterrupt()], ids=["full", "stopped"])
def test_a_write_that_fails_leaves_the_run_before_it(
    broken: str, error: BaseException, old: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tinygrad_nn.viz  # noqa: F401 - so that the patch finds it

    def fail(*_: object, **__: object) -> None:
        raise error

    shutil.copytree(old, "old")
    before = {name: Path("old", name).read_bytes() for name in FILES}
    with monkeypatch.context() as patch:
        patch.setattr(f"tinygrad_nn.{broken}", fail)
        for out in ("old", "new/folder"):
            code = main(["train", *QUICK, "--seed", "1", "--out", out])
            said = capsys.readouterr()
            assert (code, said.err.count("\n")) == (2 if isinstance(error, OSError) else 130, 1)
            assert ("No space left" if isinstance(error, OSError) else "nothing was written") in said.err
    assert os.listdir() == ["old"]
    assert {name: Path("old", name).read_bytes() for name in os.listdir("old")} == before


def test_a_graph_that_cannot_be_drawn_is_left_as_text(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    import tinygrad_nn.viz.graph.render as render

    monkeypatch.setattr(render, "programs", lambda: iter(()))
    assert main(["train", *QUICK]) == 0
    said = capsys.readouterr()
    assert said.err.startswith("tinygrad-nn: warning: graph.svg could not be drawn: drawing SVG needs a program")
    assert said.err.count("\n") == 1
    assert "tinygrad-nn-out/graph.dot" in said.out
    assert sorted(os.listdir("tinygrad-nn-out")) == sorted({*FILES, "graph.dot"} - {"graph.svg"})
    assert Path("tinygrad-nn-out/graph.dot").read_text(encoding="utf-8").startswith("digraph")


def test_an_interrupt_after_a_resume_keeps_the_epochs_before_it(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(epoch: Epoch) -> None:
        if epoch.number == 6:  # the history has six epochs then, and the weights are those after five
            raise KeyboardInterrupt

    assert main(["train", "--epochs", "3", "--checkpoint", "c", "--quiet"]) == 0
    with monkeypatch.context() as patch:
        patch.setattr("tinygrad_nn.cli.run._stop_if_diverged", stop)
        assert main(["train", "--epochs", "9", "--checkpoint", "c", "--resume", "--quiet", "--out", "stopped"]) == 130
    assert "interrupted after epoch 5 of 9; the results so far were written" in capsys.readouterr().err
    assert main(["train", "--epochs", "5", "--quiet", "--out", "whole"]) == 0
    assert Path("stopped/history.json").read_text() == Path("whole/history.json").read_text()
    stopped, whole = (load_network(f"{name}/model.safetensors").layers for name in ("stopped", "whole"))
    assert all((a.W == b.W).all() and (a.b == b.b).all() for a, b in zip(stopped, whole, strict=True))


@pytest.mark.slow
def test_an_interrupt_of_a_real_run_keeps_what_there_is() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    call = [*COMMAND, "train", "--epochs", "10000000"]
    with subprocess.Popen(
        call, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # the tests may run where it is ignored
    ) as run:  # fmt: skip
        assert run.stdout is not None
        for line in run.stdout:
            if "gradients by graph" in line:  # the last line before the training
                break
        time.sleep(2)
        run.send_signal(signal.SIGINT)
        try:
            _, err = run.communicate(timeout=30)
        finally:
            run.kill()
    assert run.returncode == 130
    said = (r"tinygrad-nn: interrupted after epoch ([\d,]+) of 10,000,000; the results so far were written; "
            r".*--checkpoint DIR")  # fmt: skip
    found = re.match(said, err)
    assert found, err
    history = json.loads(Path("tinygrad-nn-out/history.json").read_text(encoding="utf-8"))
    assert len(history["loss"]) == int(found[1].replace(",", ""))
    assert sorted(os.listdir("tinygrad-nn-out")) == sorted(FILES)


@pytest.mark.slow
def test_a_reader_who_has_seen_enough_is_no_error() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [*COMMAND, "train", *QUICK], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        run.stdout.close()
        assert run.stderr is not None
        assert run.stderr.read() == ""


# How good it is, through the path of the command.


def mean_accuracy(make: Callable[[int], Options]) -> float:
    scores = [execute(prepare(make(seed))).scores for seed in range(20)]
    return float(np.mean([found.accuracy.overall for found in scores if found]))


@pytest.mark.slow
def test_mean_accuracy_on_iris() -> None:
    assert mean_accuracy(lambda seed: Options(seed=seed)) >= 0.90
    assert mean_accuracy(lambda seed: Options(seed=seed, optimizer="adam", learning_rate=0.01, epochs=60)) >= 0.96


def test_options_of_the_command_are_the_options_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that what is measured above is what the command does."""
    seen: list[Options] = []
    monkeypatch.setattr("tinygrad_nn.cli.run.prepare", lambda options, told: seen.append(options) or 1 / 0)
    for arguments in ([], ["--optimizer", "adam", "--learning-rate", "0.01", "--epochs", "60", "--seed", "3"]):
        with pytest.raises(ZeroDivisionError):
            main(["train", *arguments])
    assert seen == [Options(), Options(optimizer="adam", learning_rate=0.01, epochs=60, seed=3)]


def test_the_history_is_plain_json() -> None:
    assert main(["train", *QUICK, "--quiet"]) == 0
    found = json.loads(Path("tinygrad-nn-out/history.json").read_text(encoding="utf-8"))
    assert sorted(found) == ["loss", "metrics", "val_loss"]
