"""The job queue in PostgreSQL: slots to poll, workers and maintenance tasks."""
