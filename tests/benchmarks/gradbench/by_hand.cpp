// Objectives and their gradients by hand; arrays are row-major. Built by by_hand.py.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

using std::size_t;
using Vector = std::vector<double>;

static double log_sum_exp(size_t n, const double *x) {
  const double top = *std::max_element(x, x + n);
  double sum = 0;
  for (size_t i = 0; i < n; ++i) sum += std::exp(x[i] - top);
  return top + std::log(sum);
}

// The entries of x become softmax(x).
static double softmax(size_t n, double *x) {
  const double top = *std::max_element(x, x + n);
  double sum = 0;
  for (size_t i = 0; i < n; ++i) sum += x[i] = std::exp(x[i] - top);
  for (size_t i = 0; i < n; ++i) x[i] /= sum;
  return top + std::log(sum);
}

extern "C" {

double lse(size_t n, const double *x) { return log_sum_exp(n, x); }

void lse_gradient(size_t n, const double *x, double *g) {
  std::copy(x, x + n, g);
  softmax(n, g);
}

double llsq(size_t n, size_t m, const double *x) {
  double sum = 0;
  for (size_t i = 0; i < n; ++i) {
    const double t = -1.0 + i * 2.0 / (n - 1.0);
    double r = (t > 0) - (t < 0), power = 1;
    for (size_t j = 0; j < m; ++j, power *= t) r -= x[j] * power;
    sum += r * r;
  }
  return sum / 2;
}

void llsq_gradient(size_t n, size_t m, const double *x, double *g) {
  std::fill(g, g + m, 0.0);
  Vector powers(m);
  for (size_t i = 0; i < n; ++i) {
    const double t = -1.0 + i * 2.0 / (n - 1.0);
    double r = (t > 0) - (t < 0), power = 1;
    for (size_t j = 0; j < m; ++j, power *= t) r -= x[j] * (powers[j] = power);
    for (size_t j = 0; j < m; ++j) g[j] -= r * powers[j];
  }
}

// Q z of a lower triangle whose diagonal is given and whose columns below it follow each other in l.
static void lower_times(size_t D, const double *diagonal, const double *l, const double *y, double *z) {
  for (size_t i = 0; i < D; ++i) z[i] = diagonal[i] * y[i];
  for (size_t j = 0; j < D; ++j)
    for (size_t i = j + 1; i < D; ++i) z[i] += *l++ * y[j];
}

static double gmm_prior(size_t N, size_t D, size_t K, int m, double gamma, const double *alpha, const double *q,
                        const double *l) {
  const double pi = std::acos(-1.0), df = D + m + 1.0;
  double gammas = D * (D - 1.0) / 4 * std::log(pi), squares = 0, sum = 0;
  for (size_t j = 0; j < D; ++j) gammas += std::lgamma(0.5 * (df - j));
  for (size_t i = 0; i < K * D; ++i) squares += std::exp(2 * q[i]), sum += q[i];
  for (size_t i = 0; i < K * (D * (D - 1) / 2); ++i) squares += l[i] * l[i];
  return K * (df * D * std::log(gamma / std::sqrt(2.0)) - gammas) - 0.5 * gamma * gamma * squares + m * sum -
         N * (0.5 * D * std::log(2 * pi) + log_sum_exp(K, alpha));
}

double gmm(size_t N, size_t D, size_t K, int m, double gamma, const double *alpha, const double *mu, const double *q,
           const double *l, const double *x) {
  const size_t L = D * (D - 1) / 2;
  Vector diagonal(K * D), sums(K), beta(K), y(D), z(D);
  for (size_t k = 0; k < K; ++k)
    for (size_t j = 0; j < D; ++j) diagonal[k * D + j] = std::exp(q[k * D + j]), sums[k] += q[k * D + j];
  double total = gmm_prior(N, D, K, m, gamma, alpha, q, l);
  for (size_t i = 0; i < N; ++i) {
    for (size_t k = 0; k < K; ++k) {
      for (size_t j = 0; j < D; ++j) y[j] = x[i * D + j] - mu[k * D + j];
      lower_times(D, &diagonal[k * D], &l[k * L], y.data(), z.data());
      double square = 0;
      for (size_t j = 0; j < D; ++j) square += z[j] * z[j];
      beta[k] = alpha[k] - 0.5 * square + sums[k];
    }
    total += log_sum_exp(K, beta.data());
  }
  return total;
}

void gmm_gradient(size_t N, size_t D, size_t K, int m, double gamma, const double *alpha, const double *mu,
                  const double *q, const double *l, const double *x, double *g_alpha, double *g_mu, double *g_q,
                  double *g_l) {
  const size_t L = D * (D - 1) / 2;
  Vector diagonal(K * D), sums(K), p(K), y(K * D), z(K * D), weighted(K * D);
  for (size_t k = 0; k < K; ++k)
    for (size_t j = 0; j < D; ++j) diagonal[k * D + j] = std::exp(q[k * D + j]), sums[k] += q[k * D + j];
  std::fill(g_alpha, g_alpha + K, 0.0);
  std::fill(g_q, g_q + K * D, 0.0);
  std::fill(g_l, g_l + K * L, 0.0);
  for (size_t i = 0; i < N; ++i) {
    for (size_t k = 0; k < K; ++k) {
      double *yk = &y[k * D], *zk = &z[k * D], square = 0;
      for (size_t j = 0; j < D; ++j) yk[j] = x[i * D + j] - mu[k * D + j];
      lower_times(D, &diagonal[k * D], &l[k * L], yk, zk);
      for (size_t j = 0; j < D; ++j) square += zk[j] * zk[j];
      p[k] = alpha[k] - 0.5 * square + sums[k];
    }
    softmax(K, p.data());
    for (size_t k = 0; k < K; ++k) {
      const double *yk = &y[k * D], *zk = &z[k * D];
      double *below = &g_l[k * L], *sum = &weighted[k * D], *g = &g_q[k * D];
      g_alpha[k] += p[k];
      for (size_t j = 0; j < D; ++j) {
        sum[j] += p[k] * zk[j];
        g[j] -= p[k] * zk[j] * yk[j];  // of the diagonal itself; its logarithm's follows below
        const double weight = p[k] * yk[j];
        for (size_t r = j + 1; r < D; ++r) *below++ -= weight * zk[r];
      }
    }
  }
  Vector weights(alpha, alpha + K);
  softmax(K, weights.data());
  for (size_t k = 0; k < K; ++k) {
    const double *below = &l[k * L], *sum = &weighted[k * D];
    for (size_t j = 0; j < D; ++j) {
      const double e = diagonal[k * D + j];
      double back = e * sum[j];  // Qᵀ of the weighted sum
      for (size_t r = j + 1; r < D; ++r) back += *below++ * sum[r];
      g_mu[k * D + j] = back;
      g_q[k * D + j] = e * g_q[k * D + j] + g_alpha[k] + m - gamma * gamma * e * e;
    }
    for (size_t r = 0; r < L; ++r) g_l[k * L + r] -= gamma * gamma * l[k * L + r];
    g_alpha[k] -= N * weights[k];
  }
}

}  // extern "C"
