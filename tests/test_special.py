"""Special functions against recorded numbers of high precision, over the whole range; and their ends.

The numbers were computed once with mpmath 1.4.1 at 50 digits (erf, erfc, loggamma, log(abs(gamma)), digamma, polygamma,
besseli, diff of sincpi, and log, log1p and exp for the rest) at exactly the arguments below, and rounded to float64.
"""

import math
import re
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

import tinygrad_nn as tg
from tinygrad_nn import Tensor, elementwise_grad
from tinygrad_nn.ops import special

EPS = np.finfo(np.float64).eps
INF, NAN = np.inf, np.nan

RECORDED = {
    "erf": [
        (1e-300, 1.1283791670955126e-300), (1e-08, 1.1283791670955126e-08), (0.1, 0.1124629160182849), (0.46874,
        0.49260441524411136), (0.46876, 0.4926225311068465), (1.0, 0.8427007929497149), (2.5, 0.999593047982555),
        (3.99, 0.9999999832607886), (4.01, 0.9999999858030606), (6.5, 1.0), (-0.3, -0.3286267594591274), (-2.0,
        -0.9953222650189527)
    ],
    "erfc": [
        (1e-20, 1.0), (0.3, 0.6713732405408726), (0.46876, 0.5073774688931535), (1.0, 0.15729920705028513), (3.99,
        1.6739211364520814e-08), (4.01, 1.4196939421371052e-08), (10.0, 2.088487583762545e-45), (20.0,
        5.395865611607901e-176), (26.5, 2.2109076642637343e-307), (-0.2, 1.2227025892104784), (-1.5,
        1.9661051464753108), (-7.0, 2.0)
    ],
    "gammaln": [
        (1e-300, 690.7755278982137), (1e-05, 11.512919692895826), (0.3, 1.0957979948180756), (0.5,
        0.5723649429247001), (0.999999, 5.772164873855652e-07), (1.000001, -5.772148423874147e-07), (1.2,
        -0.08537409000331583), (1.5, -0.12078223763524522), (1.999, -0.0004224618006921073), (2.0001,
        4.2281658112919945e-05), (2.5, 0.2846828704729192), (3.75, 1.486815578593417), (6.5, 5.662562059857142),
        (9.99, 12.779315214350193), (10.01, 12.824350262448247), (30.5, 72.9534711841694), (171.6,
        709.6573587630563), (100000.0, 1051287.7089736569), (1e+100, 2.2925850929940456e+102), (1e+305,
        7.012884533631839e+307), (-1e-10, 23.025850929998178), (-0.5, 1.2655121234846454), (-1.5,
        0.860047015376481), (-3.2, -0.37243213612996867), (-10.7, -15.416789096416636)
    ],
    "digamma": [
        (1e-300, -9.999999999999999e+299), (1e-05, -100000.57719921567), (0.3, -3.502524222200133), (1.0,
        -0.5772156649015329), (1.3, -0.16919088886679962), (1.6, 0.12604745277347632), (2.5, 0.7031566406452432),
        (6.5, 1.792911330399933), (9.99, 2.250700372831201), (10.01, 2.2528037003181356), (30.5, 3.401243668961661),
        (100000.0, 11.512920464961896), (1e+100, 230.25850929940458), (-1e-10, 9999999999.422785), (-0.3,
        2.113309779635399), (-1.7, -1.4857174995110567), (-10.2, 6.694638450417517)
    ],
    "polygamma1": [
        (1e-100, 1e+200), (0.3, 12.245364546107732), (1.0, 1.6449340668482264), (2.5, 0.49035775610023485), (10.9,
        0.09608000112266979), (11.1, 0.09426987080342683), (100000.0, 1.0000050000166667e-05), (1e+100, 1e-100),
        (-0.3, 13.945160267805722), (-1.7, 14.632201633884014), (-10.2, 28.473461217287955)
    ],
    "polygamma2": [
        (1e-50, -2e+150), (0.3, -75.27253658872604), (1.0, -2.4041138063191885), (2.5, -0.2362040516417274), (11.9,
        -0.007679939159328307), (12.1, -0.007417881105917006), (100000.0, -1.00001000005e-10), (-0.3,
        67.63908119988317), (-1.7, -69.0345495501142), (-10.2, 247.03920499486458)
    ],
    "polygamma3": [
        (1e-50, 6e+200), (0.3, 743.1417646550498), (1.0, 6.493939402266829), (2.5, 0.22390584881725206), (12.9,
        0.0010455826728511734), (13.1, 0.0009966804149155052), (100000.0, 2.0000300002e-15), (-0.3,
        766.6198904191685), (-1.7, 768.8497345301308), (-10.2, 3768.614261415568)
    ],
    "polygamma4": [
        (1e-50, -2.4e+251), (0.3, -9883.46855549699), (1.0, -24.88626612344088), (2.5, -0.3137559995067314), (13.9,
        -0.0001852360393573369), (14.1, -0.00017460126158302312), (100000.0, -6.000120001e-20), (-0.3,
        9731.83495623352), (-1.7, -9738.980600591567), (-10.2, 74935.51317729411)
    ],
    "polygamma9": [
        (1e-20, 3.628800000000002e+205), (0.3, 61454073052.03477), (2.5, 39.49072156988489), (18.9,
        1.649595384369885e-07), (19.1, 1.4970043753473102e-07), (100000.0, 4.032181443024e-41), (-0.3,
        61466894892.962654)
    ],
    "bessel_i1": [
        (1e-300, 5e-301), (0.001, 0.0005000000625000026), (0.5, 0.2578943053908963), (-2.0, -1.590636854637329),
        (8.0, 399.8731367825601), (50.0, 2.903078590103557e+20), (300.0, 4.468381385036955e+128), (-700.0,
        -1.5285003902339006e+302)
    ],
    "bessel_i2": [
        (1e-100, 1.25e-201), (0.001, 1.25000010416667e-07), (0.5, 0.031906149177738256), (-2.0, 0.6889484476987382),
        (8.0, 327.5958315261648), (50.0, 2.816430640245194e+20), (300.0, 4.446058158701472e+128), (-700.0,
        1.5252262036997768e+302)
    ],
    "bessel_i3": [
        (1e-80, 2.083333333333333e-242), (0.001, 2.08333346354167e-11), (0.5, 0.002645111968990286), (-2.0,
        -0.21273995923985264), (8.0, 236.0752210194777), (50.0, 2.6777641388839413e+20), (300.0,
        4.409100609587602e+128), (-700.0, -1.5197848119270448e+302)
    ],
    "bessel_i8": [
        (1e-30, 9.688120039682546e-248), (0.001, 9.68812030879699e-32), (0.5, 3.8107848810317677e-10), (-2.0,
        2.769936951232901e-05), (8.0, 8.433605359324387), (50.0, 1.538442715531895e+20), (300.0,
        4.022312489137168e+128), (-700.0, 1.4611962134040246e+302)
    ],
    "sinc1": [
        (1e-09, -3.289868133696453e-09), (0.3, -0.9020281301388888), (0.63, -1.366423637052223), (0.64,
        -1.3684427311721679), (1.5, 0.14147106052612918), (-7.7, -0.0806791119927861)
    ],
    "sinc2": [
        (1e-09, -3.289868133696453), (0.3, -2.4584852862661744), (0.63, -0.23867288213079377), (0.64,
        -0.16517587258158992), (1.5, 1.90576702169169), (-7.7, 0.30912254833403335)
    ],
    "sinc3": [
        (1e-09, 1.9481818206800487e-08), (0.3, 5.24749315292437), (0.95, 4.616035823434416), (0.96,
        4.471460105666951), (1.5, -3.81153404338338), (-7.7, 0.8738409815484826)
    ],
    "sinc4": [
        (1e-09, 19.481818206800487), (0.3, 13.648773849855683), (1.27, -16.328379039641064), (1.28,
        -16.186946596737346), (1.5, -10.5067603378442), (-7.7, -2.8037975117480833)
    ],
    "logit": [
        (1e-300, -690.7755278982137), (1e-09, -20.72326583594641), (0.25, -1.0986122886681098), (0.29,
        -0.8953840470548415), (0.31, -0.8001193001121132), (0.499999, -3.999999999898311e-06), (0.500001,
        4.000000000120356e-06), (0.69, 0.8001193001121129), (0.71, 0.8953840470548412), (0.999, 6.906754778648553),
        (0.9999999999999999, 36.7368005696771)
    ],
    "softplus": [
        (-700.0, 9.85967654375977e-305), (-40.0, 4.248354255291589e-18), (-1.0, 0.3132616875182228), (0.0,
        0.6931471805599453), (1.0, 1.3132616875182228), (40.0, 40.0), (1000000.0, 1000000.0)
    ],
    "log_sigmoid": [
        (-1000000.0, -1000000.0), (-40.0, -40.0), (-1.0, -1.3132616875182228), (0.0, -0.6931471805599453), (1.0,
        -0.3132616875182228), (40.0, -4.248354255291589e-18), (700.0, -9.85967654375977e-305)
    ],
    "expit": [
        (-700.0, 9.85967654375977e-305), (-40.0, 4.248354255291589e-18), (-1.0, 0.2689414213699951), (0.0, 0.5),
        (1.0, 0.7310585786300049), (40.0, 1.0)
    ],
}  # fmt: skip


def function(name: str) -> Callable:
    """The function of a row, whose order stands behind its name."""
    match = re.fullmatch(r"(polygamma|bessel_i|sinc)(\d)", name)
    if match is None:
        return getattr(special, name)
    return lambda x: getattr(special, match[1])(x, order=int(match[2]))


def error(name: str, f: Callable) -> float:
    """The largest error in units of the last place; where a zero of the function may be near, of its usual size."""
    x, wanted = np.array(RECORDED[name]).T
    size = np.abs(wanted)
    if name.startswith("sinc"):
        size = np.maximum(size, np.pi ** int(name[4:]))
    elif name in ("digamma", "gammaln"):
        size = np.where((x < 0) | (name == "digamma"), np.maximum(size, 1), size)
    return float(np.max(np.abs(f(x) - wanted) / np.maximum(size, 1e-300))) / EPS


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_numbers(name: str) -> None:
    assert error(name, function(name)) < 20
    assert error(name, lambda x: function(name)(x) * (1 + 1e-13)) > 20  # the comparison would see it


@pytest.mark.parametrize(
    ("name", "first", "rest"),
    [
        ("gammaln", "digamma", ["polygamma1", "polygamma2", "polygamma3"]),
        ("digamma", "polygamma1", ["polygamma2", "polygamma3", "polygamma4"]),
    ],
)
def test_derivatives_are_the_next_in_the_chain(name: str, first: str, rest: list[str]) -> None:
    f = function(name)
    x = np.array([0.3, 2.5, 12.0, -1.7])
    for following in [first, *rest]:
        f = elementwise_grad(f)
        np.testing.assert_allclose(f(x), function(following)(x), rtol=1e-14)


def test_derivatives_of_i0_are_combinations_of_its_neighbours() -> None:
    x = np.array([0.0, 1e-9, 1.5, -30.0])
    i = [special.bessel_i(x, order=n) for n in range(5)]
    wanted = [i[1], (i[0] + i[2]) / 2, (3 * i[1] + i[3]) / 4, (3 * i[0] + 4 * i[2] + i[4]) / 8]
    f: Callable = np.i0
    for following in wanted:
        f = elementwise_grad(f)
        np.testing.assert_allclose(f(x), following, rtol=1e-14)


@pytest.mark.parametrize(
    ("f", "x", "wanted"),
    [
        (tg.erf, [INF, -INF, NAN, 0.0, -0.0], [1, -1, NAN, 0, 0]),
        (tg.erfc, [INF, -INF, NAN, 0.0, 40.0], [0, 2, NAN, 1, 0]),
        (tg.gammaln, [0, -1, -7, INF, -INF, NAN, 1, 2], [INF, INF, INF, INF, INF, NAN, 0, 0]),
        (tg.digamma, [0, -0.0, -1, INF, NAN], [-INF, INF, NAN, INF, NAN]),
        (tg.polygamma, [0, -1, INF, NAN], [INF, INF, 0, NAN]),
        (partial(tg.polygamma, order=0), [0, -0.0, -1, -3, INF, -INF, NAN], [-INF, INF, NAN, NAN, INF, NAN, NAN]),
        (partial(tg.polygamma, order=1), [0, -0.0, -3, -1e300, INF, -INF, NAN], [INF, INF, INF, INF, 0, INF, NAN]),
        (partial(tg.polygamma, order=2), [0, -0.0, -3, -1e300, INF, -INF, NAN], [-INF, -INF, -INF, -INF, 0, -INF, NAN]),
        (partial(tg.polygamma, order=3), [0, -0.0, -3, -1e300, INF, -INF, NAN], [INF, INF, INF, INF, 0, INF, NAN]),
        (tg.logit, [0, 1, -0.1, 1.1, NAN], [-INF, INF, NAN, NAN, NAN]),
        (tg.softplus, [INF, -INF, NAN], [INF, 0, NAN]),
        (tg.log_sigmoid, [INF, -INF, NAN], [0, -INF, NAN]),
        (tg.expit, [INF, -INF, NAN], [1, 0, NAN]),
    ],
)
def test_ends_and_poles(f: Callable, x: list[float], wanted: list[float]) -> None:
    found = f(np.array(x, dtype=float))  # without a warning
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_every_float_dtype_stays(dtype: type) -> None:
    for f in (tg.erf, tg.erfc, tg.gammaln, tg.digamma, tg.polygamma, tg.logit, tg.softplus, np.i0, np.sinc, tg.expit):
        x = Tensor(np.array([0.3, 0.4], dtype))
        out = f(x)
        out.sum().backward()
        assert out.dtype == x.grad.dtype == dtype


@pytest.mark.parametrize(
    ("name", "args"),
    [("zetac", (52.9,)), ("zetac", (0.5,)), ("zetac", (-2.5,)), ("pseudo_huber", (2.0, 1e-6)),
     ("pseudo_huber", (0.0, 0.0)), ("pseudo_huber", (0.0, -3.0)), ("powm1", (-2.5, 3.0)), ("powm1", (0.0, 2.0)),
     ("powm1", (1.0 + 1e-9, 3.0))],
)  # fmt: skip
def test_small_results_and_edges_are_those_of_scipy(name: str, args: tuple[float, ...]) -> None:
    f = getattr(pytest.importorskip("scipy.special"), name)
    np.testing.assert_allclose(f(*map(Tensor, args)).data, f(*args), rtol=1e-12)


def test_numbers_and_integers_are_taken_as_float64() -> None:
    assert float(tg.gammaln(3)) == pytest.approx(np.log(2), rel=1e-15)
    assert tg.erf(np.array([0, 1])).dtype == np.float64
    with pytest.raises(TypeError, match=r"erf is for real numbers; it got dtype complex128"):
        tg.erf(1j)
    with pytest.raises(ValueError, match="order"):
        tg.polygamma(1.0, order=-1)


@pytest.mark.parametrize(("low", "high"), [(-6, -0.46875), (-0.46875, 0.46875), (0.46875, 4), (4, 26.5)])
def test_erf_and_erfc_are_exact_on_each_piece(low: float, high: float) -> None:
    x = np.linspace(low, high, 2001)
    eps = np.finfo(float).eps  # of the result; a few roundings of the polynomials, and of exp(-x^2)
    np.testing.assert_allclose(tg.erfc(x), [math.erfc(one) for one in x], rtol=8 * eps)
    np.testing.assert_allclose(tg.erf(x), [math.erf(one) for one in x], rtol=8 * eps)
