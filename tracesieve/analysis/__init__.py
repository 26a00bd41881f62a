"""What commands that only read work out: reports and explanations."""
