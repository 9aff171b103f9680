"""Everything that speaks to Zoho. The only room in which aiohttp's client is seen; it knows no database."""
