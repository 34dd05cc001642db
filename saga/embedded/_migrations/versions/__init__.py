"""One file per version of the journal's tables."""
