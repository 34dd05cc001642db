"""Money transfers between two banks: a saga with everything that can happen to it, and the proof of every cent."""
