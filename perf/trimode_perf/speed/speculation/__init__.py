"""What drafts are worth and what each way of verifying them gives: recorded once, replayed on devices of any cost."""
