"""The functions that answer the endpoints: each takes a checked request and returns the fields of its reply."""
