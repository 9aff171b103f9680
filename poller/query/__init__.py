"""Answers questions of every reader, the command line as well as the web server, as values, CSV and JSON."""
