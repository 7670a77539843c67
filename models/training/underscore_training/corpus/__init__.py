"""The corpus: where its sounds come from, which split they are in, and how they are stored."""
