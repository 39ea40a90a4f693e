"""Studies of a trained lifter, each one command: ``python -m olift_fast.train.studies NAME``.

A study gives rows, values by name; they go to a JSON file, and a figure is drawn from nothing else.
"""
