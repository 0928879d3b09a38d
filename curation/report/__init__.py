"""What the tool thinks, on one page: facts, charts, pictures, and how they become HTML."""
