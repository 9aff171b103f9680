"""The options that several commands share, and what a command line means before it is parsed."""
