"""Scores of separators on speakers and pieces that none of them heard in training.

`python -m underscore_training.evaluate --help` says what can be asked.
"""
