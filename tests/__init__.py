"""The tests, as a package of their own: some installed packages bring a `tests` too."""
