"""Database roles for readers and guests, and what they may read."""
