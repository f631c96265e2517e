"""What all tasks that call an agent share: rates, breakers, batches at a provider."""
