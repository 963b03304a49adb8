"""BitFusion: tilings costed as its public simulator does, and the search among them."""
