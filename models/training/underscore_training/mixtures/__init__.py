"""Training mixtures made while training runs, a pure function of seed and step."""
