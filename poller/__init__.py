"""Every user count of every Zoho CRM org you look after, as a time series in PostgreSQL."""

__version__ = "0.2.0"
