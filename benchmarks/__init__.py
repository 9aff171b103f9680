"""The figures the documents quote, measured by `make bench`: ratios taken in one run, medians of several."""
