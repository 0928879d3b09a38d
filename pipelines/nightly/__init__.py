"""The unattended night: what is new becomes samples, scores, an export and history (`flow` lists the steps)."""
