//! Accumulators, one by one, on values made by hand.
