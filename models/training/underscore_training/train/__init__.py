"""Training: one configuration file per model, steps that any sitting can go on from."""
