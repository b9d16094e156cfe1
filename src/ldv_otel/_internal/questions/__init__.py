"""Ten questions of citizens, privacy officers and auditors: each defined once, for the command and the page alike."""
