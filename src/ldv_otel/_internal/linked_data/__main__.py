"""`python -m ldv_otel._internal.linked_data`: writes the terms as Turtle, for `make terms`."""

import sys

from ldv_otel._internal.linked_data.graphs import terms_turtle

sys.stdout.write(terms_turtle())
