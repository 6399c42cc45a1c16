"""What Disco had before 0.5: names, functions and parameters of older jobs, each with the word for it today.

Every use is told with a DeprecationWarning when the job is written or submitted, never while its tasks run.
"""
