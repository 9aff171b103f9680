"""Questions about the series as people ask them, on a command line or over HTTP, and their answers as text."""
