"""What can be wrong with an evaluation."""


class EvaluateError(Exception):
    """The evaluation cannot be made or written; the message says what to do."""
