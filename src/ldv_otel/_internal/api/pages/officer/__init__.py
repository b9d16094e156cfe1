"""The pages where a privacy officer watches over the Logboek: a router of `ldv serve`."""
