"""Training a world model: objective, data, schedule, and a run that survives being killed.

`goalsight.training.run.train` is the whole job; `objective` and `schedule` are pure functions and
need no Lightning.
"""
