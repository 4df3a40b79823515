"""Names of ``torch`` that have no counterpart of the same kind here, and what to write instead."""

_PRECISION = "Numbers are float64 or float32; leave it out, or write dtype=torch.float32 of arrays and layers."
_SEED = "Seed with torch.manual_seed(0), and layers with rng=0."
_ADD = "Write t.at[index].set(values) or t.at[index].add(values)."

ABSENT = {
    **dict.fromkeys(["compile", "jit"], "Write tinygrad_nn.compile(step) for a function step of arrays."),
    **dict.fromkeys(["amp", "autocast", "bfloat16"], _PRECISION),
    **dict.fromkeys(["get_rng_state", "set_rng_state", "initial_seed", "random"], _SEED),
    "masked_scatter":    _ADD,
    "hub":               "Write tinygrad_nn.io.load_weights(path, model) for a safetensors file.",
    "distributed":       "Write tinygrad_nn.fit(..., comm=) for several ranks over MPI.",
    "sparse_coo_tensor": "Write tinygrad_nn.sparse for linear systems, else scipy.sparse.",
    "set_printoptions":  "Write np.set_printoptions(precision=4).",
    "set_num_threads":   "Set OMP_NUM_THREADS before Python starts.",
    "use_deterministic_algorithms": "Leave it out: the same seed gives the same numbers.",
    "profiler":          "Write tinygrad_nn.profile(step).",
    "onnx":              "Write tinygrad_nn.io.save_onnx(model, example, path).",
}  # fmt: skip
