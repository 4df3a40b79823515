"""The estimators of scikit-learn: its own checks, its tools around them, and what they say of bad settings."""

import copy
import pickle
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes, load_iris
from sklearn.metrics import get_scorer
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from tinygrad_nn import Layer, Predict, nn, optim
from tinygrad_nn.nn.losses import cross_entropy
from tinygrad_nn.sklearn import NeuralClassifier, NeuralRegressor

X, Y = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])[Y]
BOTH = [NeuralClassifier, NeuralRegressor]


@pytest.mark.slow
@pytest.mark.parametrize("kind", BOTH)
def test_it_passes_the_checks_of_scikit_learn_without_an_expected_failure(kind: type) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the checks pass what they warn of themselves
        done = check_estimator(kind())
    assert len(done) > 40
    assert [d["check_name"] for d in done if d["status"] != "passed"] in ([], ["check_array_api_input"])
    # skipped by scikit-learn itself unless SCIPY_ARRAY_API is set before SciPy is imported


def test_it_stands_in_pipelines_searches_and_cross_validation() -> None:
    pipe = make_pipeline(StandardScaler(), NeuralClassifier((8,), epochs=40, random_state=0))
    assert cross_val_score(pipe, X, NAMES, cv=3).mean() > 0.9
    search = GridSearchCV(pipe, {"neuralclassifier__learning_rate": [1e-5, 0.02]}, cv=2).fit(X, NAMES)
    assert search.best_params_ == {"neuralclassifier__learning_rate": 0.02}
    assert get_scorer("neg_log_loss")(search, X, NAMES) > -0.5


def test_numbers_of_another_size_are_learnt_by_the_tools_around_it() -> None:
    x, y = load_diabetes(return_X_y=True)
    net = TransformedTargetRegressor(
        make_pipeline(StandardScaler(), NeuralRegressor((16,), epochs=20, random_state=0)), transformer=StandardScaler()
    )
    assert net.fit(x, y).score(x, y) > 0.5


def test_the_probabilities_are_of_the_classes_in_their_order() -> None:
    net = NeuralClassifier((8,), epochs=30, random_state=0).fit(X, NAMES)
    p = net.predict_proba(X)
    np.testing.assert_array_equal(net.classes_, np.unique(NAMES))
    np.testing.assert_allclose(p.sum(axis=1), 1.0, rtol=1e-12)
    np.testing.assert_array_equal(net.predict(X), net.classes_[p.argmax(axis=1)])
    np.testing.assert_array_equal(p, Predict(net.model_, X))
    assert net.n_iter_ == len(net.history_) == 30


@pytest.mark.parametrize("kind", BOTH)
def test_the_same_seed_gives_the_same_bits_and_another_seed_others(kind: type) -> None:
    def trained(seed: object) -> np.ndarray:
        net = kind((4,), epochs=2, random_state=seed).fit(X, Y)
        return net.predict_proba(X) if kind is NeuralClassifier else net.predict(X)

    np.testing.assert_array_equal(trained(3), trained(3))
    np.testing.assert_array_equal(trained(np.random.default_rng(3)), trained(np.random.default_rng(3)))
    np.testing.assert_array_equal(trained(np.random.RandomState(3)), trained(3))
    assert not np.array_equal(trained(3), trained(4))


def test_early_stopping_keeps_rows_aside_and_the_best_weights() -> None:
    settings = {"early_stopping": True, "validation_fraction": 0.2, "patience": 3, "epochs": 300, "random_state": 0}
    net = NeuralClassifier((8,), learning_rate=0.05, **settings).fit(X, Y)
    assert net.n_iter_ < 300
    assert len(net.history_.val_loss) == net.n_iter_
    best = int(np.argmin(net.history_.val_loss))
    assert net.n_iter_ - 1 - best == 3


def test_warm_start_goes_on_and_a_fit_without_it_starts_afresh() -> None:
    net = NeuralRegressor((4,), epochs=3, warm_start=True, random_state=0)
    first = net.fit(X, Y).predict(X)
    assert not np.array_equal(net.fit(X, Y).predict(X), first)
    assert len(net.history_) == 6
    cold = NeuralRegressor((4,), epochs=3, random_state=0).fit(X, Y)
    np.testing.assert_array_equal(cold.fit(X, Y).predict(X), first)


@pytest.mark.parametrize("kind", BOTH)
def test_partial_fit_goes_on_and_learns(kind: type) -> None:
    net = kind((8,), learning_rate=0.02, random_state=0)
    options = {"classes": [0, 1, 2]} if kind is NeuralClassifier else {}
    for k in range(30):
        net.partial_fit(X[k % 2 :: 2], Y[k % 2 :: 2], **(options if k == 0 else {}))
    assert net.n_iter_ == len(net.history_) == 30
    assert net.history_.loss[-1] < 0.3 * net.history_.loss[0]
    assert net.score(X, Y) > 0.85


def test_the_optimizer_goes_on_between_two_calls_of_partial_fit() -> None:
    whole = NeuralRegressor((4,), batch_size=150, random_state=0).partial_fit(X, Y)
    before = copy.deepcopy(whole)
    afresh = NeuralRegressor((4,), batch_size=150, random_state=0).partial_fit(X, Y)
    for layer in afresh.model_:
        layer.W = layer.W.data  # forgets what the optimizer knew of it
    steps = [net.partial_fit(X, Y).model_[0].W.data - before.model_[0].W.data for net in (whole, afresh)]
    assert not np.allclose(*steps, rtol=1e-3)


@pytest.mark.parametrize("rows", [150, 20])
def test_automatic_batches_have_at_most_200_rows(rows: int) -> None:
    x, y = np.tile(X, (3, 1))[:: 150 // rows], np.tile(Y, 3)[:: 150 // rows]
    size = min(200, len(x))
    nets = [NeuralClassifier((4,), batch_size=b, epochs=3, random_state=0).fit(x, y) for b in ("auto", size)]
    np.testing.assert_array_equal(*(net.predict_proba(x) for net in nets))
    for net in nets:
        net.partial_fit(x, y)
    np.testing.assert_array_equal(*(net.predict_proba(x) for net in nets))


def test_rows_count_by_the_weights_of_their_classes() -> None:
    rows = np.r_[0:50, 50:55]
    x, y = np.zeros((len(rows), 1)), NAMES[rows]
    settings = {"hidden": (), "epochs": 60, "learning_rate": 0.05, "batch_size": 55, "random_state": 0}
    shares = {}
    for weight in (None, "balanced", {"versicolor": 20.0}):
        net = NeuralClassifier(class_weight=weight, **settings).fit(x, y)
        shares[str(weight)] = net.predict_proba([[0.0]])[0, 1]
    assert shares["None"] < 0.2
    assert shares["balanced"] == pytest.approx(0.5, abs=0.02)
    assert shares["{'versicolor': 20.0}"] == pytest.approx(2 / 3, abs=0.02)


@pytest.mark.parametrize("module", [
    lambda n_in, n_out: nn.Sequential(nn.Linear(n_in, 8, rng=0), np.tanh, nn.Linear(8, n_out, rng=1)),
    nn.Sequential(nn.Linear(4, 8, rng=0), np.tanh, nn.Linear(8, 3, rng=1)),
])  # fmt: skip
def test_any_module_is_trained_as_a_copy(module: object) -> None:
    given = copy.deepcopy(module)
    net = clone(NeuralClassifier.from_module(module, epochs=30, random_state=0)).fit(X, NAMES)
    assert net.score(X, NAMES) > 0.9
    np.testing.assert_allclose(net.predict_proba(X).sum(axis=1), 1.0, rtol=1e-12)
    if isinstance(module, nn.Module):
        for old, new in zip(given.state_dict().values(), module.state_dict().values(), strict=True):
            np.testing.assert_array_equal(old, new)


def test_a_users_loss_takes_the_output_before_the_softmax() -> None:
    plain = NeuralClassifier((4,), epochs=3, random_state=0).fit(X, Y)
    own = NeuralClassifier((4,), loss=lambda z, y: cross_entropy(z, y), epochs=3, random_state=0).fit(X, Y)
    np.testing.assert_allclose(own.predict_proba(X), plain.predict_proba(X), rtol=1e-9)


def test_several_numbers_a_row_come_out_as_they_went_in() -> None:
    for y, shape in ((X[:, 2], (150,)), (X[:, 2:3], (150, 1)), (X[:, 2:], (150, 2))):
        assert NeuralRegressor((8,), epochs=2, random_state=0).fit(X[:, :2], y).predict(X[:, :2]).shape == shape


def test_float32_stays_float32() -> None:
    net = NeuralRegressor((4,), epochs=1, random_state=0).fit(X.astype(np.float32), Y)
    assert net.model_[0].W.dtype == net.predict(X.astype(np.float32)).dtype == np.float32


def test_a_compiled_step_gives_the_same() -> None:
    plain, fast = (NeuralClassifier((4,), epochs=2, compile=how, random_state=0).fit(X, Y) for how in (False, "numpy"))
    np.testing.assert_allclose(fast.predict_proba(X), plain.predict_proba(X), rtol=1e-9)


@pytest.mark.parametrize("kind", BOTH)
def test_copies_and_pickled_estimators_predict_the_same(kind: type) -> None:
    net = kind((4,), epochs=1, random_state=0).fit(X, Y)
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        np.testing.assert_array_equal(other.predict(X), net.predict(X))


@pytest.mark.parametrize(("net", "y", "said"), [
    (NeuralClassifier(activation="rely"), Y, "[Dd]id you mean 'relu'"),
    (NeuralClassifier(module=3), Y, "pass a Module, or a function module"),
    (NeuralClassifier(), np.zeros(150, int), "holds one class, 0; it needs rows of at least two"),
    (NeuralClassifier(optimizer="adamm"), Y, "[Dd]id you mean 'adam'"),
    (NeuralRegressor(), np.array(["low", "high"] * 75), "y needs numbers; .*'low'.*For classes use NeuralClassifier"),
    (NeuralRegressor(loss="mze"), Y, "[Dd]id you mean 'm"),
])  # fmt: skip
def test_a_bad_setting_is_refused_when_it_is_used(net: object, y: np.ndarray, said: str) -> None:
    with pytest.raises((ValueError, TypeError), match=said):
        net.fit(X, y)


def test_classes_that_were_not_named_are_refused() -> None:
    with pytest.raises(ValueError, match="the first partial_fit needs classes="):
        NeuralClassifier().partial_fit(X, Y)
    net = NeuralClassifier(random_state=0).partial_fit(X[:100], Y[:100], classes=[0, 1])
    with pytest.raises(ValueError, match="y holds the class 2"):
        net.partial_fit(X, Y)
    with pytest.raises(ValueError, match="not those before"):
        net.partial_fit(X[:100], Y[:100], classes=[0, 1, 2])


def test_the_layers_have_the_requested_sizes() -> None:
    net = NeuralClassifier((5, 6), "tanh", epochs=1, random_state=0).fit(X, Y)
    assert [repr(layer) for layer in net.model_] == [repr(Layer(4, 5, "tanh")), repr(Layer(5, 6, "tanh")),
                                                     repr(Layer(6, 3, "softmax"))]  # fmt: skip


# -- settings that a call does not follow, and calls that do not fit the network


@pytest.mark.parametrize(
    ("net", "said"),
    [
        (NeuralClassifier(class_weight="balanced"), "class_weight=; write the weights into the loss, loss=partial"),
        (NeuralClassifier(class_weight={0: 2.0}), "class_weight=; write the weights into the loss, loss=partial"),
        *[(kind(early_stopping=True), "early_stopping=; call fit") for kind in BOTH],
        *[(kind(schedule=optim.Cosine(5)), "schedule=; set learning_rate with set_params") for kind in BOTH],
    ],
)
def test_partial_fit_refuses_what_it_does_not_follow(net: object, said: str) -> None:
    options = {"classes": [0, 1, 2]} if isinstance(net, NeuralClassifier) else {}
    with pytest.raises(ValueError, match=f"partial_fit does not follow {said}"):
        net.partial_fit(X, Y, **options)


@pytest.mark.parametrize("size", [0, -1, 2.5, "all"])
def test_partial_fit_needs_a_batch_size(size: float | str) -> None:
    with pytest.raises((TypeError, ValueError), match="batch_size="):
        NeuralRegressor(batch_size=size).partial_fit(X, Y)


def test_a_warm_start_is_for_the_same_classes_features_and_targets() -> None:
    net = NeuralClassifier((4,), epochs=2, random_state=0, warm_start=True).fit(X, NAMES)
    before = net.predict_proba(X)
    others = np.array(["x", "y", "z"])[Y]
    for y in (others, np.where(Y == 2, "setosa", NAMES)):
        with pytest.raises(ValueError, match=r"warm_start=True continues with the classes \['setosa', .* and y holds"):
            net.fit(X, y)
    with pytest.raises(ValueError, match="X has 2 features, but NeuralClassifier is expecting 4 features"):
        net.fit(X[:, :2], NAMES)
    np.testing.assert_array_equal(net.predict_proba(X), before)
    assert net.set_params(warm_start=False).fit(X, others).predict(X)[0] in "xyz"

    net = NeuralRegressor((4,), epochs=2, random_state=0, warm_start=True).fit(X, X[:, :2])
    for call in (net.fit, net.partial_fit):
        with pytest.raises(ValueError, match=r"y is of shape \(150, 1\), and the network was trained on \(batch, 2\)"):
            call(X, Y)
    assert net.predict(X).shape == (150, 2)
    assert net.set_params(warm_start=False).fit(X, Y).predict(X).shape == (150,)


def test_a_fit_that_is_refused_leaves_the_classes() -> None:
    net = NeuralClassifier((4,), epochs=2, random_state=0).fit(X, NAMES)
    before = net.predict(X)
    for y in (np.zeros(150), NAMES):
        with pytest.raises(ValueError, match=r"holds one class|which are not in y"):
            net.set_params(class_weight={"no": 2.0}).fit(X, y)
        np.testing.assert_array_equal(net.predict(X), before)


def test_weights_of_classes_that_a_fold_lacks_are_left_out() -> None:
    weights = {"setosa": 2.0, "versicolor": 1.0, "virginica": 3.0}
    net = NeuralClassifier((4,), epochs=2, random_state=0, class_weight=weights)
    few = NeuralClassifier((4,), epochs=2, random_state=0, class_weight={"setosa": 2.0})
    np.testing.assert_array_equal(*(each.fit(X[:100], NAMES[:100]).predict_proba(X) for each in (net, few)))


@pytest.mark.parametrize("columns", [2, 5])
def test_a_module_has_one_output_for_each_class(columns: int) -> None:
    net = NeuralClassifier.from_module(nn.Linear(4, columns, rng=0), epochs=1)
    with pytest.raises(ValueError, match=rf"of shape \(1, {columns}\) for one row; it needs one column for each class"):
        net.fit(X, Y)
    with pytest.raises(ValueError, match=r"it needs one column for each target, \(1, 1\)"):
        NeuralRegressor.from_module(nn.Linear(4, columns, rng=0), epochs=1).partial_fit(X, Y)
    assert not hasattr(net, "model_")


@pytest.mark.parametrize(
    ("net", "said"),
    [
        (NeuralClassifier(loss="mse"), "loss='mse'; it needs a function of logits and class numbers"),
        (NeuralClassifier(early_stopping=True, validation_fraction=1.5), "validation_fraction=1.5; it must be above 0"),
        (NeuralRegressor(early_stopping=True, validation_fraction="a"), "validation_fraction='a'; it must be above 0"),
    ],
)
def test_settings_that_nothing_can_follow(net: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        net.fit(X, Y)
