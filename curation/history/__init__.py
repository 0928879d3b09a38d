"""What every night left behind, how far new images lie from earlier ones, and when a night is out of the ordinary."""
