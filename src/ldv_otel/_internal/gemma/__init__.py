"""GEMMA Verwerkingenlogging (VNG): the municipal standard's two APIs over the same Logboek, and its words for it."""
