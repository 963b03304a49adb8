"""Networks with exits: trained for real, recorded once, replayed by environments."""
