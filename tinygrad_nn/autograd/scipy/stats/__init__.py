"""scipy.stats: densities and cumulative distributions are differentiable; SciPy's other methods are as in SciPy."""

from . import beta, chi2, dirichlet, gamma, multivariate_normal, norm, poisson, t

__all__ = ["beta", "chi2", "dirichlet", "gamma", "multivariate_normal", "norm", "poisson", "t"]
