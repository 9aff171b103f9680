"""Requests to Zoho. Only this package uses aiohttp's client; it does not know the database."""
