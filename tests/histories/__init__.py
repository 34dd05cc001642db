"""Golden histories: what a real server recorded of each saga, replayed by the tests with today's code."""
