"""What commands print: tables, plots, messages and prompts."""
