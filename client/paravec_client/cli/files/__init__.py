"""Documents from files and vectors to files, so that an interrupted run can continue.

Public to this package: `given` (inputs), `write` (write).
"""
