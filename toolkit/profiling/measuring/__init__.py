"""Measures frame times: worker processes, schedule, statistics, conditions."""
