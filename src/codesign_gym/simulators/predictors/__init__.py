"""Networks that predict what whole designs cost, fitted to a simulator's answers, for gradients through them."""
