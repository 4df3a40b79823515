"""`compare_steps`: compare each gradient variable of a hand-written backward (dW, dz, ...) with that of the graph.

A mistake makes all gradients after it wrong as well. So each step is judged twice: by its value, and by its own rule,
applied to the gradients that the user's code had before this line. Only the line with the mistake breaks its own rule.

- `statements` parses the user's source lines, `tracing` records what each name is bound to as they run, and `running`
  runs both passes (`forward_values`: what the forward passes on; `arguments`: what the backward is called with).
  `namespace` reads passes that were run in a notebook.
- `names` finds the forward value that a gradient belongs to, `unnamed` those of names that say nothing, and `matching`
  pairs names that are bound several times.
- `walk` and `tape` walk the graph back with the user's gradients in place of the right ones; `by_numbers` does the same
  without a graph, by running the forward again. `referee` checks a step numerically.
- `comparison` puts it together; `explain` says why a step is wrong; `probes`, `mending`, `edits_by_numbers` and
  `notebook_cells` search for the edit that corrects it, `stopped` for one if the backward raises an error; `listing`
  shows the steps.
"""
