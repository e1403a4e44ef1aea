"""CLEAN → models: the candidates, the hyperparameter search, and the best candidate, registered."""
