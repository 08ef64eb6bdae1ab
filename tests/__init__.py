"""A package, so that `tests` is ours: others leave one of this name beside installed packages."""
