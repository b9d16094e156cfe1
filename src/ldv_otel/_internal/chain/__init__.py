"""Chains: the records of one Dataverwerking over several organisations, from this Logboek on (LDV-R6).

`follow` asks and collects, `linked` works out which record called which. Only parties of `LDV_PARTIES` are ever asked.
"""
