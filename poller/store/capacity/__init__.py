"""Seats, forecasts and anomalies in PostgreSQL."""
