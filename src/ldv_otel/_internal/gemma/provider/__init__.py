"""A register of GEMMA Verwerkingenlogging over the Logboek."""
