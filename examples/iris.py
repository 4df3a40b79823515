"""The `main.jl` of "Neural Network From Scratch In Julia", line by line: a comment above each part is the Julia line.

Run it with `python examples/iris.py`. It prints what main.jl prints, and writes the plot to `loss.png`.
"""

import numpy as np

from tinygrad_nn import (
    Layer,
    Predict,
    Regularization,
    Settings,
    Solver,
    TrainNN,
    accuracy_score,
    cm,
    data_loader,
    data_split,
    f1_score,
    format_cm,
    load_iris,
    loss_fct,
)
from tinygrad_nn.viz import plot_history, save_figure

# Julia draws from a global generator. Here a generator is passed to each function that draws, so all runs are equal.
rng = np.random.default_rng(0)

# hp = Settings(20, 16)
hp = Settings(epochs=20, batch_size=16)

# iris = dataset("datasets", "iris")
iris = load_iris()
# x = iris[1:end, 1:end-1] |> Array; num_features = size(x)[2]
x = iris.x
num_features = x.shape[1]
# y = zeros(length(species), num_targets); y[species .== 1, 1] .= 1; ...
y = iris.targets
num_targets = y.shape[1]

# (x_train, y_train), (x_test, y_test), (x_val, y_val) = data_split(x, y, train_size=.7, val_size=.1)
(x_train, y_train), (x_test, y_test), (x_val, y_val) = data_split(x, y, train_size=0.7, val_size=0.1, rng=rng)
# data_x = data_loader(x_train, hp.batch_size); data_y = data_loader(y_train, hp.batch_size)
data = data_loader(x_train, y_train, hp.batch_size, shuffle=True, rng=rng)  # one loader, so that x and y stay aligned

# model = [Layer(num_features, 40, relu; distribution='n'), Layer(40, num_targets, softmax; distribution='n')]
model = [
    Layer(num_features, 40, "relu", distribution="n", rng=rng),
    Layer(40, num_targets, "softmax", distribution="n", rng=rng),
]

# reg = Regularization(:none, .2, .6, .0)  # method, λ, r, dropout
regularization = Regularization("none", 0.2, 0.6, 0.0)

# solver = Solver(:crossentropy, :sgd, .03, reg)
solver = Solver("crossentropy", "sgd", 0.03, regularization)

# ltrn, ltst = [], []
ltrn, ltst = [], []

# for epoch in 1:hp.epochs
for epoch in range(1, hp.epochs + 1):
    # for (data_in, data_out) in zip(data_x, data_y)
    for data_in, data_out in data:
        # TrainNN(model, data_in, data_out, x_val, y_val; solver)
        TrainNN(model, data_in, data_out, x_val, y_val, solver=solver)

    # ŷ_train = Predict(model, x_train); push!(ltrn, loss_fct(y_train, ŷ_train; loss=solver.loss))
    ltrn.append(loss_fct(y_train, Predict(model, x_train), loss=solver.loss))

    # ŷ_test = Predict(model, x_test); push!(ltst, loss_fct(y_test, ŷ_test; loss=solver.loss))
    ltst.append(loss_fct(y_test, Predict(model, x_test), loss=solver.loss))

    # println("train loss: $(ltrn[end]) *** test loss: $(ltst[end])")
    print(f"epoch {epoch:2}: train loss {ltrn[-1]:.3f} *** test loss {ltst[-1]:.3f}")

# plot(ltrn, label="train", ...); plot!(ltst, label="test")
ax = plot_history({"loss": ltrn})
ax.plot(range(1, hp.epochs + 1), ltst, "--", color="tab:orange", label="test")
ax.legend(frameon=False)
save_figure(ax, "loss.png")

# ŷ_tst = Predict(model, x_test); ŷ_tst = Int.(ŷ_tst .== maximum(ŷ_tst, dims=2))
yhat = Predict(model, x_test)  # the scores below find the largest of each row themselves

# cm(y_test, ŷ_tst)
print(format_cm(cm(y_test, yhat), iris.class_names))

# accuracy_score(y_test, ŷ_tst)
accuracy = accuracy_score(y_test, yhat)
print("Accuracy =", accuracy.each.round(3), "mean", round(accuracy.mean, 3), "of all rows", round(accuracy.overall, 3))

# f1_score(y_test, ŷ_tst)
f1 = f1_score(y_test, yhat)
print("F1 score =", f1.each.round(3), "mean", round(f1.mean, 3))
