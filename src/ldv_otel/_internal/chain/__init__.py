"""What was done in one trace, over organisations: start here, and follow each Logregel to the party it calls (LDV-R6).

`follow` collects, `linked` says what called what. Only parties of `LDV_PARTIES` are ever asked.
"""
