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

// Runge and Kutta of fourth order; the state before each step is kept if states is given.
static void slope(size_t n, const double *x, const double *y, double *__restrict__ z) {
  z[0] = x[0];
  for (size_t i = 1; i < n; ++i) z[i] = x[i] * y[i - 1];
}

static void integrate(size_t n, size_t s, const double *x, double *y, double *states) {
  const double h = 2.0 / s;
  Vector k1(n), k2(n), k3(n), k4(n), u(n);
  std::fill(y, y + n, 0.0);
  for (size_t step = 0; step < s; ++step) {
    if (states) std::copy(y, y + n, states + step * n);
    slope(n, x, y, k1.data());
    for (size_t i = 0; i < n; ++i) u[i] = y[i] + h / 2 * k1[i];
    slope(n, x, u.data(), k2.data());
    for (size_t i = 0; i < n; ++i) u[i] = y[i] + h / 2 * k2[i];
    slope(n, x, u.data(), k3.data());
    for (size_t i = 0; i < n; ++i) u[i] = y[i] + h * k3[i];
    slope(n, x, u.data(), k4.data());
    for (size_t i = 0; i < n; ++i) y[i] += h / 6 * (k1[i] + 2 * k2[i] + 2 * k3[i] + k4[i]);
  }
}

// Back through slope: to g of x is added, g of y is set.
static void slope_back(size_t n, const double *x, const double *y, const double *gz, double *__restrict__ gx,
                       double *__restrict__ gy) {
  gx[0] += gz[0];
  for (size_t i = 1; i < n; ++i) gx[i] += gz[i] * y[i - 1];
  for (size_t i = 1; i < n; ++i) gy[i - 1] = gz[i] * x[i];
  gy[n - 1] = 0;
}

void ode(size_t n, size_t s, const double *x, double *y) { integrate(n, s, x, y, nullptr); }

void ode_gradient(size_t n, size_t s, const double *x, double *gx) {
  const double h = 2.0 / s;
  Vector states(s * n), last(n), g(n), k(n), u2(n), u3(n), u4(n), gk(n), gu(n), next(n);
  integrate(n, s, x, last.data(), states.data());
  std::fill(gx, gx + n, 0.0);
  g[n - 1] = 1;
  for (size_t step = s; step-- > 0;) {
    const double *y = &states[step * n];
    slope(n, x, y, k.data());
    for (size_t i = 0; i < n; ++i) u2[i] = y[i] + h / 2 * k[i];
    slope(n, x, u2.data(), k.data());
    for (size_t i = 0; i < n; ++i) u3[i] = y[i] + h / 2 * k[i];
    slope(n, x, u3.data(), k.data());
    for (size_t i = 0; i < n; ++i) u4[i] = y[i] + h * k[i];
    for (size_t i = 0; i < n; ++i) gk[i] = h / 6 * g[i];
    slope_back(n, x, u4.data(), gk.data(), gx, gu.data());
    for (size_t i = 0; i < n; ++i) next[i] = g[i] + gu[i], gk[i] = h / 3 * g[i] + h * gu[i];
    slope_back(n, x, u3.data(), gk.data(), gx, gu.data());
    for (size_t i = 0; i < n; ++i) next[i] += gu[i], gk[i] = h / 3 * g[i] + h / 2 * gu[i];
    slope_back(n, x, u2.data(), gk.data(), gx, gu.data());
    for (size_t i = 0; i < n; ++i) next[i] += gu[i], gk[i] = h / 6 * g[i] + h / 2 * gu[i];
    slope_back(n, x, y, gk.data(), gx, gu.data());
    for (size_t i = 0; i < n; ++i) g[i] = next[i] + gu[i];
  }
}

// The determinant of the rows from row on and of the columns that are left, expanded along the first of these rows. If g
// is given, to each entry's g is added weight times its cofactor.
static double minor_of(size_t n, size_t row, const double *A, size_t *left, double weight, double *g) {
  const size_t m = n - row;
  if (m == 1) {
    if (g) g[row * n + left[0]] += weight;
    return A[row * n + left[0]];
  }
  double sum = 0, sign = 1;
  size_t column = left[0];
  // left without its j-th: one entry is replaced from a j to the next
  for (size_t j = 0; j < m; ++j, sign = -sign) {
    if (j > 0) std::swap(left[j], column);
    const double factor = sign * A[row * n + column];
    const double below = minor_of(n, row + 1, A, left + 1, weight * factor, g);
    if (g) g[row * n + column] += weight * sign * below;
    sum += factor * below;
  }
  for (size_t j = m - 1; j > 0; --j) std::swap(left[j], column);
  left[0] = column;
  return sum;
}

static double expanded(size_t n, const double *A, double *g) {
  std::vector<size_t> left(n);
  for (size_t i = 0; i < n; ++i) left[i] = i;
  return minor_of(n, 0, A, left.data(), 1, g);
}

double det(size_t n, const double *A) { return expanded(n, A, nullptr); }

void det_gradient(size_t n, const double *A, double *g) {
  std::fill(g, g + n * n, 0.0);
  expanded(n, A, g);
}

static size_t nearest(size_t k, size_t d, const double *centroids, const double *point, double *distance) {
  size_t best = 0;
  *distance = std::numeric_limits<double>::infinity();
  for (size_t j = 0; j < k; ++j) {
    double square = 0;
    for (size_t i = 0; i < d; ++i) {
      const double difference = centroids[j * d + i] - point[i];
      square += difference * difference;
    }
    if (square < *distance) *distance = square, best = j;
  }
  return best;
}

double kmeans(size_t n, size_t k, size_t d, const double *centroids, const double *points) {
  double total = 0, distance;
  for (size_t i = 0; i < n; ++i) nearest(k, d, centroids, points + i * d, &distance), total += distance;
  return total;
}

// The gradient 2 Σ (c − p) over the second derivative 2 (number of points), of each centroid.
void kmeans_gradient(size_t n, size_t k, size_t d, const double *centroids, const double *points, double *step) {
  Vector count(k);
  double distance;
  std::fill(step, step + k * d, 0.0);
  for (size_t i = 0; i < n; ++i) {
    const size_t j = nearest(k, d, centroids, points + i * d, &distance);
    count[j] += 2;
    for (size_t c = 0; c < d; ++c) step[j * d + c] += 2 * (centroids[j * d + c] - points[i * d + c]);
  }
  for (size_t j = 0; j < k; ++j)
    for (size_t c = 0; c < d; ++c) step[j * d + c] /= count[j];
}

static double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// What a unit of a layer computed at one time.
struct Unit {
  double x, hidden, cell, forget, in, out, change, tanh_cell;
};

static double lstm_forward(size_t layers, size_t times, size_t b, const double *main, const double *extra,
                           const double *state, const double *sequence, Unit *units, double *outputs) {
  Vector now(state, state + 2 * layers * b), y(b);
  Unit unit;
  double total = 0;
  for (size_t t = 0; t + 1 < times; ++t) {
    const double *seen = sequence + t * b, *then = seen + b;
    double sum = 2, wanted = 0, mass = 0;
    for (size_t i = 0; i < b; ++i) {
      double x = seen[i] * extra[i];
      for (size_t k = 0; k < layers; ++k) {
        const double *w = main + 8 * b * k + i, *bias = w + 4 * b;
        double &hidden = now[2 * k * b + i], &cell = now[(2 * k + 1) * b + i];
        Unit &u = units ? units[(t * layers + k) * b + i] : unit;
        u.x = x, u.hidden = hidden, u.cell = cell;
        u.forget = sigmoid(x * w[0] + bias[0]);
        u.in = sigmoid(hidden * w[b] + bias[b]);
        u.out = sigmoid(x * w[2 * b] + bias[2 * b]);
        u.change = std::tanh(hidden * w[3 * b] + bias[3 * b]);
        cell = cell * u.forget + u.in * u.change;
        u.tanh_cell = std::tanh(cell);
        x = hidden = u.out * u.tanh_cell;
      }
      y[i] = x * extra[b + i] + extra[2 * b + i];
      const double e = std::exp(y[i]);
      if (outputs) outputs[t * b + i] = e;
      sum += e, wanted += then[i] * y[i], mass += then[i];
    }
    if (outputs)  // the derivative of the loss by y
      for (size_t i = 0; i < b; ++i)
        outputs[t * b + i] = (mass * outputs[t * b + i] / sum - then[i]) / ((times - 1.0) * b);
    total += wanted - mass * std::log(sum);
  }
  return -total / ((times - 1.0) * b);
}

double lstm(size_t layers, size_t times, size_t b, const double *main, const double *extra, const double *state,
            const double *sequence) {
  return lstm_forward(layers, times, b, main, extra, state, sequence, nullptr, nullptr);
}

void lstm_gradient(size_t layers, size_t times, size_t b, const double *main, const double *extra, const double *state,
                   const double *sequence, double *g_main, double *g_extra) {
  std::vector<Unit> units((times - 1) * layers * b);
  Vector outputs((times - 1) * b), g_hidden(layers * b), g_cell(layers * b);
  lstm_forward(layers, times, b, main, extra, state, sequence, units.data(), outputs.data());
  std::fill(g_main, g_main + 8 * b * layers, 0.0);
  std::fill(g_extra, g_extra + 3 * b, 0.0);
  for (size_t t = times - 1; t-- > 0;) {
    for (size_t i = 0; i < b; ++i) {
      const Unit &top = units[(t * layers + layers - 1) * b + i];
      const double gy = outputs[t * b + i];
      g_extra[b + i] += gy * top.out * top.tanh_cell;
      g_extra[2 * b + i] += gy;
      double gx = gy * extra[b + i];
      for (size_t k = layers; k-- > 0;) {
        const Unit &u = units[(t * layers + k) * b + i];
        const double *w = main + 8 * b * k + i;
        double *gw = g_main + 8 * b * k + i, *gb = gw + 4 * b;
        const double gh = gx + g_hidden[k * b + i];
        const double gc = g_cell[k * b + i] + gh * u.out * (1 - u.tanh_cell * u.tanh_cell);
        const double forget = gc * u.cell * u.forget * (1 - u.forget);
        const double in = gc * u.change * u.in * (1 - u.in);
        const double out = gh * u.tanh_cell * u.out * (1 - u.out);
        const double change = gc * u.in * (1 - u.change * u.change);
        gw[0] += forget * u.x, gw[b] += in * u.hidden, gw[2 * b] += out * u.x, gw[3 * b] += change * u.hidden;
        gb[0] += forget, gb[b] += in, gb[2 * b] += out, gb[3 * b] += change;
        g_cell[k * b + i] = gc * u.forget;
        g_hidden[k * b + i] = in * w[b] + change * w[3 * b];
        gx = forget * w[0] + out * w[2 * b];
      }
      g_extra[i] += gx * sequence[t * b + i];
    }
  }
}

// One observation of a camera: rotation, centre, focal length, principal point, distortion.
struct Seen {
  double x[3], axis[3], angle, cos, sin, dot, cross[3], turned[3], flat[2], r2, factor;
};

static void see(const double *cam, const double *X, Seen &s) {
  for (int i = 0; i < 3; ++i) s.x[i] = X[i] - cam[3 + i];
  s.angle = std::sqrt(cam[0] * cam[0] + cam[1] * cam[1] + cam[2] * cam[2]);
  const bool still = s.angle == 0;
  for (int i = 0; i < 3; ++i) s.axis[i] = still ? cam[i] : cam[i] / s.angle;
  s.cos = still ? 1 : std::cos(s.angle), s.sin = still ? 1 : std::sin(s.angle);
  const double *a = s.axis, *x = s.x;
  s.cross[0] = a[1] * x[2] - a[2] * x[1];
  s.cross[1] = a[2] * x[0] - a[0] * x[2];
  s.cross[2] = a[0] * x[1] - a[1] * x[0];
  s.dot = a[0] * x[0] + a[1] * x[1] + a[2] * x[2];
  for (int i = 0; i < 3; ++i) s.turned[i] = x[i] * s.cos + s.cross[i] * s.sin + a[i] * s.dot * (1 - s.cos);
  s.flat[0] = s.turned[0] / s.turned[2], s.flat[1] = s.turned[1] / s.turned[2];
  s.r2 = s.flat[0] * s.flat[0] + s.flat[1] * s.flat[1];
  s.factor = 1 + cam[9] * s.r2 + cam[10] * s.r2 * s.r2;
}

void ba(size_t p, const size_t *cam_of, const size_t *point_of, const double *cams, const double *points,
        const double *w, const double *feats, double *errors, double *weights) {
  Seen s;
  for (size_t i = 0; i < p; ++i) {
    const double *cam = cams + 11 * cam_of[i];
    see(cam, points + 3 * point_of[i], s);
    for (int e = 0; e < 2; ++e)
      errors[2 * i + e] = w[i] * (s.flat[e] * s.factor * cam[6] + cam[7 + e] - feats[2 * i + e]);
    weights[i] = 1 - w[i] * w[i];
  }
}

// Of each observation the derivatives of its two errors by 11 numbers of the camera, 3 of the point and the weight.
void ba_gradient(size_t p, const size_t *cam_of, const size_t *point_of, const double *cams, const double *points,
                 const double *w, const double *feats, double *blocks, double *weights) {
  Seen s;
  for (size_t i = 0; i < p; ++i) {
    const double *cam = cams + 11 * cam_of[i];
    see(cam, points + 3 * point_of[i], s);
    for (int e = 0; e < 2; ++e) {
      double *J = blocks + 15 * (2 * i + e);
      const double scale = w[i] * cam[6], along = s.flat[e] * scale;
      const double g_r2 = along * (cam[9] + 2 * cam[10] * s.r2);
      double g_flat[2] = {g_r2 * 2 * s.flat[0], g_r2 * 2 * s.flat[1]}, g[3], gx[3], ga[3];
      g_flat[e] += scale * s.factor;
      g[0] = g_flat[0] / s.turned[2], g[1] = g_flat[1] / s.turned[2];
      g[2] = -(g_flat[0] * s.flat[0] + g_flat[1] * s.flat[1]) / s.turned[2];
      // turned = x cos + (a × x) sin + a (a · x) (1 − cos)
      const double *a = s.axis, *x = s.x, rest = 1 - s.cos;
      const double g_a = g[0] * a[0] + g[1] * a[1] + g[2] * a[2];
      const double x_g[3] = {x[1] * g[2] - x[2] * g[1], x[2] * g[0] - x[0] * g[2], x[0] * g[1] - x[1] * g[0]};
      const double g_x_a[3] = {g[1] * a[2] - g[2] * a[1], g[2] * a[0] - g[0] * a[2], g[0] * a[1] - g[1] * a[0]};
      for (int c = 0; c < 3; ++c) {
        gx[c] = g[c] * s.cos + g_x_a[c] * s.sin + a[c] * g_a * rest;
        ga[c] = x_g[c] * s.sin + (g[c] * s.dot + x[c] * g_a) * rest;
      }
      if (s.angle == 0) {
        for (int c = 0; c < 3; ++c) J[c] = ga[c];
      } else {
        double g_angle = 0, ga_a = ga[0] * a[0] + ga[1] * a[1] + ga[2] * a[2];
        for (int c = 0; c < 3; ++c) g_angle += g[c] * (-x[c] * s.sin + s.cross[c] * s.cos + a[c] * s.dot * s.sin);
        for (int c = 0; c < 3; ++c) J[c] = (ga[c] - a[c] * ga_a) / s.angle + g_angle * a[c];
      }
      for (int c = 0; c < 3; ++c) J[3 + c] = -gx[c], J[11 + c] = gx[c];
      J[6] = w[i] * s.flat[e] * s.factor;
      J[7 + e] = w[i], J[8 - e] = 0;
      J[9] = along * s.r2, J[10] = along * s.r2 * s.r2;
      J[14] = s.flat[e] * s.factor * cam[6] + cam[7 + e] - feats[2 * i + e];
    }
    weights[i] = -2 * w[i];
  }
}

// Where each row of that Jacobian begins, and the columns of its entries: first the errors, then the weights.
void ba_structure(size_t p, size_t n, size_t m, const size_t *cam_of, const size_t *point_of, int *rows, int *columns) {
  const int points = int(11 * n), weights = int(11 * n + 3 * m);
  rows[0] = 0;
  for (size_t i = 0; i < p; ++i) {
    for (int e = 0; e < 2; ++e) {
      for (int c = 0; c < 11; ++c) *columns++ = int(11 * cam_of[i]) + c;
      for (int c = 0; c < 3; ++c) *columns++ = points + int(3 * point_of[i]) + c;
      *columns++ = weights + int(i);
      rows[2 * i + e + 1] = 15 * int(2 * i + e + 1);
    }
  }
  for (size_t i = 0; i < p; ++i) *columns++ = weights + int(i), rows[2 * p + i + 1] = int(30 * p + i + 1);
}

}  // extern "C"
