"""Seats, contracts, forecasts and anomalies in PostgreSQL."""
