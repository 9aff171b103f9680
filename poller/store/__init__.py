"""PostgreSQL: the only package that uses asyncpg. Each SQL statement is in the module of the function that runs it."""
