"""How orgs come in: files of orgs, and grant codes exchanged for tokens."""
