"""What tests share: a Logboek in a process of its own, and faults in front of it."""
