"""PostgreSQL: the only place asyncpg is seen. SQL stands beside the one function that runs it."""
