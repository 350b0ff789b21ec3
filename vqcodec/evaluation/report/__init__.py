"""The report of a run: plots, BD-rates, HTML pages and contact sheets."""
