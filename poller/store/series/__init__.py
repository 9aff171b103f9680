"""The time series in PostgreSQL: snapshots, rollups, trends, gaps and retention."""
