"""Ready activities with compensations, one module for each third party."""
