"""The spool: Logregels on the local disk from the moment their `end()` returns until the Logboek has confirmed them."""
