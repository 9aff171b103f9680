"""Database roles: who may read what."""
