"""The noise model: learned on noise that is made in base categories, transferred to the novel ones."""
