"""Orgs in PostgreSQL: their settings, credentials, tokens, rate limits and credits."""
