"""Training a world model: objective, data, and a run that survives being killed.

`run.train` is the whole job (`goalsight.train`), `objective` the loss that is minimised, `data` the
batches, `trainer` the loop around both, `heads` and `actor` what is trained on a finished model.
"""
