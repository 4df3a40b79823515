// Objectives for libraries that overload operators of C++: CppAD, or ADOL-C with -DADOLC. Built by taped.py.
// A tape is written once and read for each gradient.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <memory>
#include <vector>

#ifdef ADOLC
#include <adolc/adolc.h>
using T = adouble;
static T larger(const T &a, const T &b) { return fmax(a, b); }
#else
#include <cppad/cppad.hpp>
using T = CppAD::AD<double>;
static T larger(const T &a, const T &b) { return CppAD::CondExpGt(a, b, a, b); }
#endif

using std::size_t;
using Vector = std::vector<double>;
using Taped = std::vector<T>;

static T log_sum_exp(size_t n, const T *x) {
  T top = x[0], sum = 0;
  for (size_t i = 1; i < n; ++i) top = larger(top, x[i]);
  for (size_t i = 0; i < n; ++i) sum += exp(x[i] - top);
  return top + log(sum);
}

static T least_squares(size_t n, size_t m, const T *x) {
  T sum = 0;
  for (size_t i = 0; i < n; ++i) {
    const double t = -1.0 + i * 2.0 / (n - 1.0);
    T r = double((t > 0) - (t < 0));
    double power = 1;
    for (size_t j = 0; j < m; ++j, power *= t) r -= x[j] * power;
    sum += r * r;
  }
  return sum / 2;
}

// The variables are alpha (K), mu (K, D), q (K, D), l (K, D (D - 1) / 2), one after the other.
static T mixture(size_t N, size_t D, size_t K, double m, double gamma, const T *alpha, const double *x) {
  const size_t L = D * (D - 1) / 2;
  const T *mu = alpha + K, *q = mu + K * D, *l = q + K * D;
  const double pi = std::acos(-1.0), df = D + m + 1;
  double gammas = D * (D - 1.0) / 4 * std::log(pi);
  for (size_t j = 0; j < D; ++j) gammas += std::lgamma(0.5 * (df - j));
  Taped diagonal(K * D), sums(K, T(0)), beta(K), z(D);
  T squares = 0, sum = 0;
  for (size_t i = 0; i < K * D; ++i) diagonal[i] = exp(q[i]), sums[i / D] += q[i], squares += diagonal[i] * diagonal[i];
  for (size_t i = 0; i < K * L; ++i) squares += l[i] * l[i];
  for (size_t k = 0; k < K; ++k) sum += sums[k];
  T total = K * (df * D * std::log(gamma / std::sqrt(2.0)) - gammas) - 0.5 * gamma * gamma * squares + m * sum -
            double(N) * (0.5 * D * std::log(2 * pi) + log_sum_exp(K, alpha));
  Taped y(D);
  for (size_t i = 0; i < N; ++i) {
    for (size_t k = 0; k < K; ++k) {
      const T *below = l + k * L;
      for (size_t j = 0; j < D; ++j) y[j] = x[i * D + j] - mu[k * D + j], z[j] = diagonal[k * D + j] * y[j];
      for (size_t j = 0; j < D; ++j)
        for (size_t r = j + 1; r < D; ++r) z[r] += *below++ * y[j];
      T square = 0;
      for (size_t j = 0; j < D; ++j) square += z[j] * z[j];
      beta[k] = alpha[k] - 0.5 * square + sums[k];
    }
    total += log_sum_exp(K, beta.data());
  }
  return total;
}

static T logistic(const T &x) { return 1 / (1 + exp(-x)); }

// The variables are those of the layers and then the three rows of the others.
static T recurrent(size_t layers, size_t times, size_t b, const T *main, const double *state, const double *sequence) {
  const T *extra = main + 8 * b * layers;
  Taped now(2 * layers * b), y(b);
  for (size_t i = 0; i < 2 * layers * b; ++i) now[i] = state[i];
  T total = 0;
  for (size_t t = 0; t + 1 < times; ++t) {
    const double *seen = sequence + t * b, *then = seen + b;
    T sum = 2;
    for (size_t i = 0; i < b; ++i) {
      T x = seen[i] * extra[i];
      for (size_t k = 0; k < layers; ++k) {
        const T *w = main + 8 * b * k + i, *bias = w + 4 * b;
        T &hidden = now[2 * k * b + i], &cell = now[(2 * k + 1) * b + i];
        const T forget = logistic(x * w[0] + bias[0]), in = logistic(hidden * w[b] + bias[b]);
        const T out = logistic(x * w[2 * b] + bias[2 * b]), change = tanh(hidden * w[3 * b] + bias[3 * b]);
        cell = cell * forget + in * change;
        hidden = out * tanh(cell);
        x = hidden;
      }
      y[i] = x * extra[b + i] + extra[2 * b + i];
      sum += exp(y[i]);
    }
    const T norm = log(sum);
    for (size_t i = 0; i < b; ++i) total += then[i] * (y[i] - norm);
  }
  return -total / ((times - 1.0) * b);
}

static void slope(size_t n, const T *x, const T *y, T *z) {
  z[0] = x[0];
  for (size_t i = 1; i < n; ++i) z[i] = x[i] * y[i - 1];
}

static T last_of_runge_kutta(size_t n, size_t s, const T *x) {
  const double h = 2.0 / s;
  Taped y(n, T(0)), k1(n), k2(n), k3(n), k4(n), u(n);
  for (size_t step = 0; step < s; ++step) {
    slope(n, x, y.data(), k1.data());
    for (size_t i = 0; i < n; ++i) u[i] = y[i] + h / 2 * k1[i];
    slope(n, x, u.data(), k2.data());
    for (size_t i = 0; i < n; ++i) u[i] = y[i] + h / 2 * k2[i];
    slope(n, x, u.data(), k3.data());
    for (size_t i = 0; i < n; ++i) u[i] = y[i] + h * k3[i];
    slope(n, x, u.data(), k4.data());
    for (size_t i = 0; i < n; ++i) y[i] += h / 6 * (k1[i] + 2 * k2[i] + 2 * k3[i] + k4[i]);
  }
  return y[n - 1];
}

static T expanded(size_t n, size_t row, const T *A, const std::vector<size_t> &left) {
  if (row + 1 == n) return A[row * n + left[0]];
  T sum = 0;
  for (size_t j = 0; j < left.size(); ++j) {
    std::vector<size_t> rest(left);
    rest.erase(rest.begin() + j);
    const T part = A[row * n + left[j]] * expanded(n, row + 1, A, rest);
    if (j % 2) sum -= part;
    else sum += part;
  }
  return sum;
}

// A function of n numbers on a tape.
struct Tape {
  size_t n;
#ifdef ADOLC
  short tag;
#else
  CppAD::ADFun<double> function;
#endif
};

template <class F>
static Tape *recorded(size_t n, const double *x, F f) {
  auto *tape = new Tape{};
  tape->n = n;
  Taped inputs(n), output(1);
#ifdef ADOLC
  static short tags = 0;
  tape->tag = ++tags;
  double value;
  trace_on(tape->tag);
  for (size_t i = 0; i < n; ++i) inputs[i] <<= x[i];
  output[0] = f(inputs.data());
  output[0] >>= value;
  trace_off();
#else
  for (size_t i = 0; i < n; ++i) inputs[i] = x[i];
  CppAD::Independent(inputs);
  output[0] = f(inputs.data());
  tape->function.Dependent(inputs, output);
#endif
  return tape;
}

extern "C" {

double value(Tape *tape, const double *x) {
#ifdef ADOLC
  double out;
  function(tape->tag, 1, int(tape->n), const_cast<double *>(x), &out);
  return out;
#else
  return tape->function.Forward(0, Vector(x, x + tape->n))[0];
#endif
}

void gradient_of(Tape *tape, const double *x, double *g) {
#ifdef ADOLC
  gradient(tape->tag, int(tape->n), const_cast<double *>(x), g);
#else
  tape->function.Forward(0, Vector(x, x + tape->n));
  const Vector found = tape->function.Reverse(1, Vector{1.0});
  std::copy(found.begin(), found.end(), g);
#endif
}

Tape *lse(size_t n, const double *x) {
  return recorded(n, x, [=](const T *x) { return log_sum_exp(n, x); });
}

Tape *llsq(size_t m, const double *x, size_t n) {
  return recorded(m, x, [=](const T *x) { return least_squares(n, m, x); });
}

Tape *gmm(size_t count, const double *variables, size_t N, size_t D, size_t K, double m, double gamma,
          const double *x) {
  return recorded(count, variables, [=](const T *v) { return mixture(N, D, K, m, gamma, v, x); });
}

Tape *lstm(size_t count, const double *variables, size_t layers, size_t times, size_t b, const double *state,
           const double *sequence) {
  return recorded(count, variables, [=](const T *v) { return recurrent(layers, times, b, v, state, sequence); });
}

Tape *ode(size_t n, const double *x, size_t s) {
  return recorded(n, x, [=](const T *x) { return last_of_runge_kutta(n, s, x); });
}

Tape *det(size_t count, const double *A, size_t n) {
  std::vector<size_t> left(n);
  for (size_t i = 0; i < n; ++i) left[i] = i;
  return recorded(count, A, [=](const T *A) { return expanded(n, 0, A, left); });
}

}  // extern "C"
