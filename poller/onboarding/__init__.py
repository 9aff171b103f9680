"""Connects orgs: reads files of orgs, imports them, exchanges their grant codes, and checks them with live calls."""
