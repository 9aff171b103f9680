"""Documents about the fleet that a person can send to others: complete in one file, without a network."""
