"""What can be wrong with a corpus."""


class CorpusError(Exception):
    """The corpus cannot be built or used; the message says what to do."""
