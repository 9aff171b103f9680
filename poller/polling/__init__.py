"""Polls orgs: one poll of one org, a batch of orgs, and the rows on their way to the store."""
