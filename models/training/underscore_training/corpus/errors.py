"""What can be wrong with a corpus."""


class CorpusError(Exception):
    """The corpus cannot be built or used; the message says what to do."""


class NoScores(CorpusError):
    """Scores cannot be played: what of a corpus can be done without them, goes on without."""
