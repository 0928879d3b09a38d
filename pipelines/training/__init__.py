"""What every training pipeline shares and what is silent when wrong: losses, batches, metrics, resuming, logs."""
