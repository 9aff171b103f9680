"""Makes the tests a package, because some installed packages bring a package `tests` too."""
