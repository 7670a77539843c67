"""Model files: what they hold, how they are proven, and the list of those that ship."""
