"""The comparison for any function: nothing is known of it but its graph, so the mistake is searched for in the graph.

`calling` runs the user's code, and `comparison` computes the rows; `black_box` does both if there is no graph. If an
array is wrong, `operations` finds the reason:

- `mutants` lists the mistakes that can be made at each operation of the graph; `cotangents` and `recomputed` add those
  of whole backwards: parts of the cotangent that are lost, values that are computed again in another way.
- `search` tries them: a cheap test drops nearly all, a walk back with the mistake in it decides, other inputs confirm.
  `last_steps` makes this cheap in a long loop. `composed` makes one operation of several that compute a known function.
- `error_origin` finds where the error begins if no known mistake explains it.
- `locations` and `lines` name the line of the forward and of the backward; `possible_backwards` calls a changed one.

`inputs_and_results` and `gradient_data` hold what these modules pass to each other.
"""
