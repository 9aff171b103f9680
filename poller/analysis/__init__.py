"""Pure analysis of daily counts: arrays in, arrays out. The only package that imports numpy."""
