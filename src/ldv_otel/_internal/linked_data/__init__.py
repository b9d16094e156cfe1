"""Metadata as linked data: the terms as concepts, the Register as RDF, and answers in the words of PROV."""
